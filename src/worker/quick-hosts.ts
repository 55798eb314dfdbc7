/** So many small bodies in a row have to come at once. */
const IN_A_ROW = 64;
/** Longest time from the head to the end of one, in milliseconds. */
const QUICK_MS = 500;
/** Hosts, and tasks, remembered at most; the one that is known longest goes first. */
const KNOWN_MAX = 10_000;

/**
 * Hosts whose small bodies come at once. From those a body may be taken in one piece, unwatched: that costs a fifth, but
 * nothing shows before its end. One that is late or broken, and the host is watched again; that one's task for good, so
 * that what is wrong with it, if anything, is seen and told.
 */
export class QuickHosts {
  /** Quick bodies in a row, by host; no more is counted than it takes. */
  readonly #inARow = new Map<string, number>();
  readonly #doubted = new Set<number>();

  /** Whether a task's body may be taken unwatched. */
  trusts(host: string, task: number): boolean {
    return this.#inARow.get(host) === IN_A_ROW && !this.#doubted.has(task);
  }

  /** A small body of a host came whole, so many milliseconds after its head. */
  came(host: string, tookMs: number): void {
    if (tookMs > QUICK_MS) return this.failed(host);
    const before = this.#inARow.get(host) ?? 0;
    if (before === IN_A_ROW) return;
    if (before === 0 && this.#inARow.size >= KNOWN_MAX) this.#inARow.delete(this.#inARow.keys().next().value ?? "");
    this.#inARow.set(host, before + 1);
  }

  /** A body of a host did not come whole. */
  failed(host: string): void {
    this.#inARow.delete(host);
  }

  /** A body that was taken unwatched did not come whole. */
  doubt(host: string, task: number): void {
    this.failed(host);
    if (this.#doubted.size >= KNOWN_MAX) this.#doubted.delete(this.#doubted.values().next().value ?? 0);
    this.#doubted.add(task);
  }
}
