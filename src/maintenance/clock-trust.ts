import type { Clock } from "../std/clock.ts";

/** Wall and steady time may differ by so much: daylight saving does not count, a slow correction does. */
const LEAP_MS = 3_600_000;
/** After a leap the wall clock must go on evenly for so long. */
const PROBATION_MS = 600_000;

/**
 * Says whether what is old by the wall clock may be taken for old. After a leap, within the process or since the last
 * one, it waits: a clock that is wrong at boot is mended within minutes, and then nothing has expired.
 */
export class ClockTrust {
  readonly #clock: Clock;
  #offset = 0;
  #evenSince: number | undefined;
  /** By how much the clock leapt last, in milliseconds. */
  #leapMs = 0;

  /**
   * `trustedAt`: when the clock was last found to go right, by this process's forebears, milliseconds since the epoch;
   * 0 if it never was. Not when one was last there: it may have lived under a wrong clock.
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
