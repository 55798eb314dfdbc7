import type { Clock } from "../../src/std/clock.ts";

interface Timer {
  readonly at: number;
  readonly action: () => void;
}

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  readonly #timers = new Set<Timer>();
  #steadyFrom: number;
  #elapsedMs = 0;
  #startedAt: number;

  constructor(startedAt = Date.UTC(2026, 10, 23, 12)) {
    this.#startedAt = startedAt;
    this.#steadyFrom = startedAt;
  }

  readonly now = (): number => this.#startedAt + this.#elapsedMs;
  readonly monotonic = (): number => this.#elapsedMs;
  readonly steady = (): number => this.#steadyFrom + this.#elapsedMs;

  readonly after = (ms: number, action: () => void): { cancel(): void } => {
    const timer = { at: this.#elapsedMs + ms, action };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  };

  /** Timers that nobody has cancelled and that have not gone off: 0 once all work is done. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Another process begins: its steady time starts at the wall clock's. */
  restart(): void {
    this.#steadyFrom = this.#startedAt;
  }

  /** Sets the wall clock forward or back, as an administrator does; monotonic time does not notice. */
  jump(ms: number): void {
    this.#startedAt += ms;
  }

  /** Time that passes while something is computed: no timer notices. */
  tick(ms: number): void {
    this.#elapsedMs += ms;
  }

  /** Lets time pass: timers go off in order, and what they set off runs before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsedMs + ms;
    await turn();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#timers.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.at);
      next.action();
      await turn();
    }
    this.#elapsedMs = end;
    await turn();
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers)
      if (timer.at <= end && (first === undefined || timer.at < first.at)) first = timer;
    return first;
  }
}

/** Lets everything run that needs no waiting. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
