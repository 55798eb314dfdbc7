/** The length of the measured time, in milliseconds. */
const WINDOW_MS = 5000;
/** The shortest time that gives a speed. */
const LEAST_MS = 500;

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** Bytes per second over the last few seconds. */
export class Speedometer {
  #samples: Sample[] = [];

  /** Records the total of bytes at `at` (monotonic milliseconds). A smaller total restarts the measurement. */
  note(bytes: number, at: number): void {
    if (bytes < (this.#samples.at(-1)?.bytes ?? 0)) this.#samples = [];
    this.#samples.push({ at, bytes });
    // The youngest sample outside the window stays, so that the samples span the whole window.
    const first = this.#samples.findLastIndex((sample) => sample.at <= at - WINDOW_MS);
    if (first > 0) this.#samples.splice(0, first);
  }

  /** The speed, or 0 while it is unknown. */
  get perSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.at - first.at < LEAST_MS) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }

  /** The seconds that further bytes need, or `undefined` while no bytes arrive. */
  secondsFor(bytes: number): number | undefined {
    return this.perSecond > 0 ? bytes / this.perSecond : undefined;
  }
}
