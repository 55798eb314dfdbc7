/** The smallest limit: one download, and then a pause fifteen times as long. */
const LEAST = 1 / 16;
/** An answer adds this, divided by the limit: about a tenth of a download per round. */
const STEP = 0.1;
/** The limit is lifted this long after the last slow-down, in milliseconds. */
const FORGET_MS = 3_600_000;
const PAUSE_MAX_MS = 2000;

/**
 * How many downloads at a time a host can take: a complaint halves the limit, an answer raises it a little (additive
 * increase, multiplicative decrease, as in RFC 5681). A limit below one is the share of time with one download.
 */
export class ConcurrencyLimit {
  #limit: number;
  #slowedAt: number;
  #most: number;

  /** `limit` and `slowedAt` come from an earlier process. All times are milliseconds by one clock, whichever. */
  constructor(most: number, limit = most, slowedAt = Number.NEGATIVE_INFINITY) {
    this.#most = most;
    this.#limit = Math.min(most, Math.max(LEAST, limit));
    this.#slowedAt = slowedAt;
  }

  /** Takes another upper bound. A host at the old bound moves to the new one. */
  setMost(most: number): void {
    this.#limit = this.#limit < this.#most ? Math.min(most, this.#limit) : most;
    this.#most = most;
  }

  /** The limit as a fraction. */
  get limit(): number {
    return this.#limit;
  }

  get slowedAt(): number {
    return this.#slowedAt;
  }

  /** The time at which the limit is lifted. */
  get slowUntil(): number {
    return this.#slowedAt + FORGET_MS;
  }

  isSlow(now: number): boolean {
    if (this.#limit < this.#most && now - this.#slowedAt >= FORGET_MS) this.#limit = this.#most;
    return this.#limit < this.#most;
  }

  /** Downloads that may run at once. */
  downloads(now: number): number {
    return this.isSlow(now) ? Math.max(1, Math.floor(this.#limit)) : this.#most;
  }

  /**
   * Halves the limit, or the number of downloads under way if that is smaller. `startedAt` is the start of the download
   * that brought the complaint: one from before the last slow-down is no news.
   */
  slowDown(startedAt: number, now: number, underWay: number, least = LEAST): void {
    if (startedAt <= this.#slowedAt || this.#limit <= least) return;
    this.#limit = Math.max(least, Math.min(this.#limit, underWay) / 2);
    this.#slowedAt = now;
  }

  speedUp(): void {
    if (this.#limit < this.#most) this.#limit = Math.min(this.#most, this.#limit + STEP / Math.max(1, this.#limit));
  }

  /** The pause after a download of this duration, in milliseconds. */
  pauseAfter(tookMs: number): number {
    return this.#limit >= 1 ? 0 : Math.min(PAUSE_MAX_MS, tookMs / this.#limit - tookMs);
  }
}
