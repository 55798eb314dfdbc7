import { DueHeap } from "../../dispatch/due-heap.ts";

/**
 * Hosts that may be closed for a time, the next opening at hand: a heap, since there may be a hundred thousand of them.
 * An opening that moved to a later time is found out when the earlier one has come.
 */
export class Openings {
  /** Each host with the due time of its entry; another entry of it is skipped. */
  readonly #dueOf = new Map<string, number>();
  readonly #heap = new DueHeap<string>();

  get size(): number {
    return this.#dueOf.size;
  }

  has(host: string): boolean {
    return this.#dueOf.has(host);
  }

  /** Notes that a host opens at a time. To be called again when it opens earlier. */
  note(host: string, opensAt: number): void {
    if ((this.#dueOf.get(host) ?? Number.POSITIVE_INFINITY) <= opensAt) return;
    this.#dueOf.set(host, opensAt);
    this.#heap.push(opensAt, host);
  }

  /** The next opening after `since`. Removes the hosts that have opened, and passes them to `onOpen`. */
  next(since: number, opensAt: (host: string) => number, onOpen: (host: string) => void): number | undefined {
    for (let first = this.#heap.first; first !== undefined; first = this.#heap.first) {
      const { due, item: host } = first;
      const isCurrent = this.#dueOf.get(host) === due;
      const at = isCurrent ? opensAt(host) : 0;
      if (at === due && at > since) return at;
      this.#heap.pop();
      if (!isCurrent) continue;
      this.#dueOf.delete(host);
      if (at > since) this.note(host, at);
      else onOpen(host);
    }
    return undefined;
  }
}
