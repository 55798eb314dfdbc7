import type { Clock } from "../std/clock.ts";

/** From so many events in so many milliseconds on, older ones say nothing more. */
const ENOUGH_EVENTS = 10;
const ENOUGH_MS = 5000;
/** After so long without any, what came before says nothing of the pace that began since. */
const STALL_MS = 2000;
/** Before a pace has lasted for so long it may be no more than a burst. */
const PACE_MS = 1000;

/** The events of one second. */
interface Second {
  count: number;
  readonly firstAt: number;
}

/** How often something happened of late, per second. Holds one count for each second of its window. */
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

  /** For how long there has been none; infinite where there never was one. */
  get sinceLastMs(): number {
    return this.#clock.monotonic() - this.#lastAt;
  }

  /**
   * Over as few seconds as tell enough, so that a change shows soon; at most since the first event, or over the window.
   * No stall counts that is over. What is younger than a second counts as a second old.
   */
  perSecond(): number {
    const now = this.#clock.monotonic();
    this.#dropOld(now);
    let events = 0;
    let from = now;
    let begunAt = now;
    for (const [second, { count, firstAt }] of [...this.#seconds].reverse()) {
      if (events >= ENOUGH_EVENTS) {
        if (now - from >= ENOUGH_MS) return events / ((now - from) / 1000);
        const wasStalled = begunAt - (second + 1) * 1000 >= STALL_MS;
        if (wasStalled && this.#lastAt - begunAt >= PACE_MS) return events / ((now - begunAt) / 1000);
      }
      events += count;
      from = Math.max(this.#firstAt, second * 1000);
      begunAt = firstAt;
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

  /** The latest second that is out of the window. */
  #oldest(now: number): number {
    return Math.floor(now / 1000) - this.#windowSeconds;
  }
}
