/** Halved at most down to this: one download, and then a pause sixty-three times as long. */
const LEAST = 1 / 64;
/** What an answer adds, divided by the downloads at a time: about a tenth of a download per round. */
const STEP = 0.1;
/** A slow-down that is so long past says nothing any more, in milliseconds. */
const FORGET_MS = 3_600_000;
const PAUSE_MAX_MS = 60_000;

/**
 * How many downloads at a time a host bears: halved when it complains, a little more with each answer (additive
 * increase, multiplicative decrease, as in RFC 5681). Below one it is the part of the time in which there is one.
 */
export class Pace {
  #bears: number;
  #slowedAt: number;
  readonly #most: number;

  /** `bears` and `slowedAt` (milliseconds by the steady clock) where they are remembered. */
  constructor(most: number, bears = most, slowedAt = 0) {
    this.#most = most;
    this.#bears = Math.min(most, Math.max(LEAST, bears));
    this.#slowedAt = slowedAt;
  }

  get bears(): number {
    return this.#bears;
  }

  get slowedAt(): number {
    return this.#slowedAt;
  }

  isSlow(now: number): boolean {
    if (this.#bears < this.#most && now - this.#slowedAt >= FORGET_MS) this.#bears = this.#most;
    return this.#bears < this.#most;
  }

  /** Downloads that may run at once. */
  limit(now: number): number {
    return this.isSlow(now) ? Math.max(1, Math.floor(this.#bears)) : this.#most;
  }

  /** The host complained of a download that began at `begunAt`; those that began before the last slow-down say nothing new. */
  slowDown(begunAt: number, now: number, least = LEAST): void {
    if (begunAt < this.#slowedAt || this.#bears <= least) return;
    this.#bears = Math.max(least, this.#bears / 2);
    this.#slowedAt = now;
  }

  speedUp(): void {
    if (this.#bears < this.#most) this.#bears = Math.min(this.#most, this.#bears + STEP / Math.max(1, this.#bears));
  }

  /** The pause after a download that took so long, in milliseconds. */
  pauseAfter(tookMs: number): number {
    return this.#bears >= 1 ? 0 : Math.min(PAUSE_MAX_MS, tookMs / this.#bears - tookMs);
  }
}
