import { DueHeap } from "./due-heap.ts";
import type { KnownLane } from "./known-lane.ts";

/** Entries of the heap that may be out of date before it is built anew. */
const STALE_MAX = 2000;

/** Lanes with nothing due yet, the one that is due first at hand. */
export class Sleepers {
  readonly lanes = new Set<KnownLane>();
  /** An entry that is out of date is skipped. */
  readonly #wakes = new DueHeap<KnownLane>();

  /** The lane that is due first; `undefined` if no task waits in any. */
  get first(): KnownLane | undefined {
    for (let first = this.#wakes.first; first !== undefined; first = this.#wakes.first) {
      const { due, item } = first;
      if (item.nextDue === due && item.waiting > 0 && this.lanes.has(item)) return item;
      this.#wakes.pop();
    }
    return undefined;
  }

  /** To be called for a lane in `lanes` once it was added, or its due time has changed. */
  noteDue(lane: KnownLane): void {
    if (lane.waiting > 0) this.#wakes.push(lane.nextDue, lane);
    if (this.#wakes.size <= 2 * this.lanes.size + STALE_MAX) return;
    this.#wakes.clear();
    for (const each of this.lanes) if (each.waiting > 0) this.#wakes.push(each.nextDue, each);
  }
}
