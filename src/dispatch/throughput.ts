/** Rates are told as what goes out in so long: milliseconds. */
const MOMENT_MS = 80;
/** What is counted over less than this says little. */
const COUNTED_MS = 25;
/** In so long half of what was before is forgotten: a hitch is no change of pace. */
const HALF_LIFE_MS = 100;

/** How many tasks go out in a moment, by host and in all, as of the last time that was long enough to tell. */
export class Throughput {
  readonly #sent = new Map<string, number>();
  #inAMoment: Map<string, number> = new Map();
  #inAll = 0;
  #countedFrom = Number.NEGATIVE_INFINITY;

  /** Tasks of one host that go out in a moment. */
  of(host: string): number {
    return this.#inAMoment.get(host) ?? 0;
  }

  /** Tasks of all hosts. */
  get inAll(): number {
    return this.#inAll;
  }

  sent(host: string): void {
    this.#sent.set(host, (this.#sent.get(host) ?? 0) + 1);
  }

  /** Takes in what was sent, at most every 25 ms; true if it did. `now` is by the monotonic clock. */
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
