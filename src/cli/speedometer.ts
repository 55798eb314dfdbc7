/** Over how long a speed is smoothed, in milliseconds. */
const SMOOTHING_MS = 3000;

/** Bytes per second, smoothed: what counts is the last few seconds. */
export class Speedometer {
  #bytes = 0;
  #at: number | undefined;
  #perSecond: number | undefined;

  /** Notes that `bytes` were there in all at `at` (monotonic milliseconds). Fewer than before begins anew. */
  note(bytes: number, at: number): void {
    if (this.#at === undefined || bytes < this.#bytes) {
      this.#perSecond = undefined;
    } else if (at > this.#at) {
      const elapsed = at - this.#at;
      const current = ((bytes - this.#bytes) * 1000) / elapsed;
      const weight = 1 - Math.exp(-elapsed / SMOOTHING_MS);
      this.#perSecond =
        this.#perSecond === undefined ? current : this.#perSecond + (current - this.#perSecond) * weight;
    }
    this.#bytes = bytes;
    this.#at = at;
  }

  get perSecond(): number {
    return this.#perSecond ?? 0;
  }

  /** Seconds for so many bytes more; nothing while it stands still. */
  secondsFor(bytes: number): number | undefined {
    return this.perSecond > 0 ? bytes / this.perSecond : undefined;
  }
}
