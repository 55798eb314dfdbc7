import type { Clock } from "../std/clock.ts";

/** Something to do again and again. */
export interface PeriodicTask {
  readonly everyMs: number;
  /** When to do it for the first time; absent: after `everyMs`. */
  readonly firstMs?: number;
  /** Must not throw; the next round begins when it is done. */
  readonly run: (signal: AbortSignal) => void | Promise<void>;
}

/** Does chores until it is stopped, each at its own pace and never twice at a time. */
export class Scheduler {
  readonly #clock: Clock;
  readonly #timers = new Set<{ cancel(): void }>();
  readonly #stopping = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(chores: readonly PeriodicTask[]): void {
    for (const chore of chores) this.#schedule(chore, chore.firstMs ?? chore.everyMs);
  }

  stop(): void {
    this.#stopping.abort(new Error("the upkeep is stopping"));
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #schedule(chore: PeriodicTask, afterMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const timer = this.#clock.after(afterMs, () => {
      this.#timers.delete(timer);
      void this.#do(chore);
    });
    this.#timers.add(timer);
  }

  async #do(chore: PeriodicTask): Promise<void> {
    await chore.run(this.#stopping.signal);
    this.#schedule(chore, chore.everyMs);
  }
}
