import type { Clock } from "../jobs/clock.ts";

/** From so many events in so many milliseconds on, older ones say nothing more. */
const ENOUGH_EVENTS = 20;
const ENOUGH_MS = 5000;

/** How often something happened of late, per second. Holds one count for each second of its window. */
export class RecentRate {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Events by second of the monotonic clock; the oldest first. */
  readonly #counts = new Map<number, number>();
  readonly #windowSeconds: number;
  #firstAt = 0;

  constructor(clock: Pick<Clock, "monotonic">, windowSeconds: number) {
    this.#clock = clock;
    this.#windowSeconds = windowSeconds;
  }

  note(): void {
    const now = this.#clock.monotonic();
    this.#dropOld(now);
    if (this.#counts.size === 0) this.#firstAt = now;
    const second = Math.floor(now / 1000);
    this.#counts.set(second, (this.#counts.get(second) ?? 0) + 1);
  }

  /**
   * Over as few seconds as tell enough, so that a change shows soon; at most since the first event, or over the window.
   * What is younger than a second counts as a second old.
   */
  perSecond(): number {
    const now = this.#clock.monotonic();
    this.#dropOld(now);
    let events = 0;
    let from = now;
    for (const [second, count] of [...this.#counts].reverse()) {
      const isEnough = events >= ENOUGH_EVENTS && now - from >= ENOUGH_MS;
      if (isEnough) return events / ((now - from) / 1000);
      events += count;
      from = Math.max(this.#firstAt, second * 1000);
    }
    const oldest = Math.max(this.#firstAt, (this.#oldest(now) + 1) * 1000);
    return events / Math.max(1, (now - oldest) / 1000);
  }

  #dropOld(now: number): void {
    for (const second of this.#counts.keys()) {
      if (second > this.#oldest(now)) return;
      this.#counts.delete(second);
    }
  }

  /** The latest second that is out of the window. */
  #oldest(now: number): number {
    return Math.floor(now / 1000) - this.#windowSeconds;
  }
}
