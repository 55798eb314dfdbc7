import type { Clock } from "../std/clock.ts";

/** With this many events over this time, older events add no information. */
const ENOUGH_EVENTS = 10;
const ENOUGH_MS = 5000;
/** A pause of this length separates two rates: the events before it do not count for the rate after it. */
const STALL_MS = 2000;
/** A rate that has lasted for less time may be a burst. */
const SETTLED_MS = 1000;

/** The events of one second. */
interface Second {
  count: number;
  readonly firstAt: number;
}

/** The recent rate of an event, per second. It keeps one count for each second of its window. */
export class RecentRate {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Events by second of the monotonic clock; the oldest first. */
  readonly #seconds = new Map<number, Second>();
  readonly #windowSeconds: number;
  #firstAt = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonic">, windowSeconds: number) {
    this.#clock = clock;
    this.#windowSeconds = windowSeconds;
  }

  note(): void {
    const now = this.#clock.monotonic();
    this.#dropOld(now);
    if (this.#seconds.size === 0) this.#firstAt = now;
    this.#lastAt = now;
    const second = Math.floor(now / 1000);
    const known = this.#seconds.get(second);
    if (known === undefined) this.#seconds.set(second, { count: 1, firstAt: now });
    else known.count++;
  }

  /** Milliseconds since the last event; infinite before the first. */
  get sinceLastMs(): number {
    return this.#clock.monotonic() - this.#lastAt;
  }

  /**
   * The rate over the fewest seconds that contain enough events, so that a change shows soon; at most since the first
   * event or over the window. A finished stall does not count. The shortest time is one second.
   */
  perSecond(): number {
    const now = this.#clock.monotonic();
    this.#dropOld(now);
    let events = 0;
    let from = now;
    let startedAt = now;
    for (const [second, { count, firstAt }] of [...this.#seconds].reverse()) {
      if (events >= ENOUGH_EVENTS) {
        if (now - from >= ENOUGH_MS) return events / ((now - from) / 1000);
        const wasStalled = startedAt - (second + 1) * 1000 >= STALL_MS;
        if (wasStalled && this.#lastAt - startedAt >= SETTLED_MS) return events / ((now - startedAt) / 1000);
      }
      events += count;
      from = Math.max(this.#firstAt, second * 1000);
      startedAt = firstAt;
    }
    const oldest = Math.max(this.#firstAt, (this.#oldest(now) + 1) * 1000);
    return events / Math.max(1, (now - oldest) / 1000);
  }

  #dropOld(now: number): void {
    for (const second of this.#seconds.keys()) {
      if (second > this.#oldest(now)) return;
      this.#seconds.delete(second);
    }
  }

  /** The latest second outside the window. */
  #oldest(now: number): number {
    return Math.floor(now / 1000) - this.#windowSeconds;
  }
}
