/** A speed is that of so many milliseconds before. */
const WINDOW_MS = 5000;
/** Before so long nobody knows a speed. */
const LEAST_MS = 500;

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** Bytes per second: what came in the last few seconds, divided by their time. */
export class Speedometer {
  #samples: Sample[] = [];

  /** Notes that `bytes` were there in all at `at` (monotonic milliseconds). Fewer than before begins anew. */
  note(bytes: number, at: number): void {
    if (bytes < (this.#samples.at(-1)?.bytes ?? 0)) this.#samples = [];
    this.#samples.push({ at, bytes });
    // The first one that is old enough stays: the window is no shorter than it should be.
    const first = this.#samples.findLastIndex((sample) => sample.at <= at - WINDOW_MS);
    if (first > 0) this.#samples.splice(0, first);
  }

  /** 0 as long as it is not known. */
  get perSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.at - first.at < LEAST_MS) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }

  /** Seconds for so many bytes more; nothing while it stands still. */
  secondsFor(bytes: number): number | undefined {
    return this.perSecond > 0 ? bytes / this.perSecond : undefined;
  }
}
