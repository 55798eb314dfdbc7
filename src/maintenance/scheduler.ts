import type { Clock, PeriodicTask } from "../std/clock.ts";

/** Runs periodic tasks until it is stopped, each at its own interval and never twice at a time. */
export class Scheduler {
  readonly #clock: Clock;
  readonly #timers = new Set<{ cancel(): void }>();
  readonly #stopping = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(tasks: readonly PeriodicTask[]): void {
    for (const task of tasks) this.#schedule(task, task.firstMs ?? task.everyMs);
  }

  stop(): void {
    this.#stopping.abort(new Error("the scheduler is stopping"));
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #schedule(task: PeriodicTask, afterMs: number): void {
    if (this.#stopping.signal.aborted) return;
    const timer = this.#clock.after(afterMs, () => {
      this.#timers.delete(timer);
      void this.#run(task);
    });
    this.#timers.add(timer);
  }

  async #run(task: PeriodicTask): Promise<void> {
    await task.run(this.#stopping.signal);
    this.#schedule(task, task.everyMs);
  }
}
