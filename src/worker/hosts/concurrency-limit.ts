/** Halved at most down to this: one download, and then a pause fifteen times as long. */
const LEAST = 1 / 16;
/** What an answer adds, divided by the downloads at a time: about a tenth of a download per round. */
const STEP = 0.1;
/** A slow-down that is so long past says nothing any more, in milliseconds. */
const FORGET_MS = 3_600_000;
const PAUSE_MAX_MS = 2000;

/**
 * How many downloads at a time a host bears: halved when it complains, a little more with each answer (additive
 * increase, multiplicative decrease, as in RFC 5681). Below one it is the part of the time in which there is one.
 */
export class ConcurrencyLimit {
  #bears: number;
  #slowedAt: number;
  #most: number;

  /** `bears` and `slowedAt` where they are remembered. All times are milliseconds by one clock, whichever. */
  constructor(most: number, limit = most, slowedAt = Number.NEGATIVE_INFINITY) {
    this.#most = most;
    this.#bears = Math.min(most, Math.max(LEAST, limit));
    this.#slowedAt = slowedAt;
  }

  /** Another limit. A host that bore the old one in full is taken to bear the new one. */
  setMost(most: number): void {
    this.#bears = this.#bears < this.#most ? Math.min(most, this.#bears) : most;
    this.#most = most;
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

  /**
   * The host complained of a download that was let through at `at`, when `underWay` were at once: half of that is what
   * it gets. What was let through before the last slow-down says nothing new.
   */
  slowDown(at: number, now: number, underWay: number, least = LEAST): void {
    if (at <= this.#slowedAt || this.#bears <= least) return;
    this.#bears = Math.max(least, Math.min(this.#bears, underWay) / 2);
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
