import type { Clock } from "../std/clock.ts";

/** A larger change of wall time against steady time is a leap. Slow corrections add up to one. */
const LEAP_MS = 3_600_000;
/** Time without a leap after which the wall clock is trusted again. */
const PROBATION_MS = 600_000;

/**
 * Decides whether ages by the wall clock can be trusted. After a leap it waits: a clock that is wrong at boot is
 * corrected within minutes, and no row may expire before that.
 */
export class ClockTrust {
  readonly #clock: Clock;
  #offset = 0;
  #evenSince: number | undefined;
  /** The size of the last leap, in milliseconds. */
  #leapMs = 0;

  /**
   * `trustedAt`: the time when an earlier process last trusted the clock, in milliseconds since the epoch; 0 for never.
   * The last heartbeat would not do, since that process may have run with a wrong clock.
   */
  constructor(clock: Clock, trustedAt: number) {
    this.#clock = clock;
    this.#offset = clock.now() - clock.steady();
    if (trustedAt > 0) this.#note(clock.now() - trustedAt);
  }

  get leapMs(): number {
    return this.#leapMs;
  }

  get isTrusted(): boolean {
    const offset = this.#clock.now() - this.#clock.steady();
    if (this.#note(offset - this.#offset)) this.#offset = offset;
    return this.#evenSince === undefined || this.#clock.monotonic() - this.#evenSince >= PROBATION_MS;
  }

  #note(leapMs: number): boolean {
    if (Math.abs(leapMs) < LEAP_MS) return false;
    this.#leapMs = leapMs;
    this.#evenSince = this.#clock.monotonic();
    return true;
  }
}
