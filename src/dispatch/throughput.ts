/** Rates are told as what goes out in so long: milliseconds. */
const MOMENT_MS = 80;
/** What is counted over less than this says little. */
const COUNTED_MS = 25;

/** How many tasks go out in a moment, by host and in all, as of the last time that was long enough to tell. */
export class Throughput {
  readonly #sent = new Map<string, number>();
  #inAMoment: ReadonlyMap<string, number> = new Map();
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
    const inAMoment = [...this.#sent].map(([host, tasks]) => [host, Math.round((tasks * MOMENT_MS) / tookMs)] as const);
    this.#inAMoment = new Map(inAMoment);
    this.#inAll = inAMoment.reduce((sum, [, tasks]) => sum + tasks, 0);
    this.#sent.clear();
    return true;
  }
}
