/**
 * Tasks of all hosts that are claimed ahead beyond the window, at most, where tasks are short: a claim costs a commit,
 * however large it is. Other tasks do not wait long behind these: a host that turns slow gives them back.
 */
export const EXTRA_MAX = 384;
/** A rate is the number of tasks that start within this time, in milliseconds. */
const MOMENT_MS = 80;
/** A count over less time than this is too coarse. */
const COUNTED_MS = 25;
/** Within this time a rate halves that was higher before: a hitch is no change of pace. */
const HALF_LIFE_MS = 100;

/** The number of tasks that start within a moment, by host and in all, from the latest long enough interval. */
export class Throughput {
  readonly #sent = new Map<string, number>();
  #inAMoment: Map<string, number> = new Map();
  #inAll = 0;
  #countedFrom = Number.NEGATIVE_INFINITY;

  /** Tasks of one host that start within a moment. */
  of(host: string): number {
    return this.#inAMoment.get(host) ?? 0;
  }

  /** Tasks of all hosts that start within a moment. */
  get inAll(): number {
    return this.#inAll;
  }

  sent(host: string): void {
    this.#sent.set(host, (this.#sent.get(host) ?? 0) + 1);
  }

  /** Counts the tasks sent since the last call, at most every 25 ms. True if it did. `now` is monotonic. */
  measure(now: number): boolean {
    const tookMs = now - this.#countedFrom;
    if (tookMs < COUNTED_MS) return false;
    this.#countedFrom = now;
    const inAMoment = new Map<string, number>();
    const left = 0.5 ** (tookMs / HALF_LIFE_MS);
    for (const [host, tasks] of this.#inAMoment) if (tasks * left >= 1) inAMoment.set(host, Math.floor(tasks * left));
    for (const [host, tasks] of this.#sent) {
      inAMoment.set(host, Math.max(inAMoment.get(host) ?? 0, Math.round((tasks * MOMENT_MS) / tookMs)));
    }
    this.#inAMoment = inAMoment;
    this.#inAll = inAMoment.values().reduce((sum, tasks) => sum + tasks, 0);
    this.#sent.clear();
    return true;
  }
}
