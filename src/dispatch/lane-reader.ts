import { setImmediate } from "node:timers/promises";
import type { Lane } from "../jobs/lane.ts";
import type { Clock } from "../std/clock.ts";
import type { BrokerSource } from "./broker-ports.ts";
import { LANES_MAX, type Lanes } from "./lanes.ts";

/** Lanes that are read in a turn of the event loop. */
const LANES_AT_ONCE = 500;
/** A sweep stops here, which leaves room for the lanes of new jobs. */
const LANES_FULL = (LANES_MAX * 3) / 4;
/** Below this number of lanes the sweep continues. */
const LANES_FEW = LANES_MAX / 2;
/** While lanes are missing that are due, a page is read at least this often, in milliseconds. */
const PAGE_EVERY_MS = 250;

interface LaneReaderDeps {
  readonly source: Pick<BrokerSource, "lanes">;
  readonly lanes: Lanes;
  readonly clock: Pick<Clock, "steady">;
  /** Called after each page of a sweep that continues. */
  readonly onPage: () => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Brings lanes from queue.db into memory, those that are due first. A sweep reads page after page, each in its own turn
 * of the event loop. It stops where the memory is full, and continues there once lanes are gone. So each lane is read
 * about once, however many there are.
 */
export class LaneReader {
  readonly #deps: LaneReaderDeps;
  /** The last lane of the latest page; `undefined` at the front. */
  #after: Lane | undefined;
  /** When lanes are due that are missing in memory, by the steady clock; infinite if none is missing. */
  #missingDue = Number.POSITIVE_INFINITY;
  #pageReadAt = Number.NEGATIVE_INFINITY;
  /** Lanes that this sweep brought since the front. */
  #brought = 0;
  /** The last sweep brought nothing, from the front to the end: the next one need not hurry. */
  #isFutile = false;
  #isReading = false;
  /** Lanes that changed while a page was being read, which may hold older values; `undefined` where none is read. */
  #changed: Set<number> | undefined;
  #isHungry = false;
  /** Counts starts and stops; a sweep of an earlier one ends. */
  #era = 0;

  constructor(deps: LaneReaderDeps) {
    this.#deps = deps;
  }

  /** When the next page is to be read, by the steady clock; `undefined` if none is missing, or one is being read. */
  get dueAt(): number | undefined {
    if (this.#changed !== undefined) return undefined;
    const due = Math.min(this.#missingDue, this.#after === undefined ? Number.POSITIVE_INFINITY : 0);
    return due === Number.POSITIVE_INFINITY ? undefined : Math.max(due, this.#pageReadAt + PAGE_EVERY_MS);
  }

  /** To be called when a lane in memory has changed. */
  changed(lane: number): void {
    this.#changed?.add(lane);
  }

  /** Reads all lanes again, from the front. */
  restart(): void {
    this.#deps.lanes.dropSleepers();
    this.#after = undefined;
    this.#isFutile = false;
    this.#era++;
    this.#sweep();
  }

  stop(): void {
    this.#era++;
    this.#isReading = false;
    this.#changed = undefined;
  }

  /** Continues the sweep if lanes are missing. `isHungry`: those in memory gave fewer tasks than the workers want. */
  continue(isHungry: boolean): void {
    const { lanes, clock } = this.#deps;
    const now = clock.steady();
    this.#missingDue = Math.min(this.#missingDue, lanes.takeMissedDue());
    this.#isHungry = isHungry;
    if (lanes.takeGain()) this.#isFutile = false;
    const { dueAt } = this;
    if (this.#isReading || dueAt === undefined) return;
    const isMissing = this.#after !== undefined || this.#missingDue <= now;
    const isWanted = lanes.size < LANES_FEW || (isHungry && lanes.size < LANES_FULL);
    if (now >= dueAt || (isMissing && isWanted && !this.#isFutile)) this.#sweep();
  }

  #sweep(): void {
    this.#isReading = true;
    const era = this.#era;
    const isOver = () => era !== this.#era;
    this.#readPages(isOver)
      .catch((error: unknown) => {
        if (isOver()) return; // a later sweep reads the same lanes, or none is wanted
        this.#changed = undefined;
        this.#deps.onError(error);
      })
      .finally(() => {
        if (!isOver()) this.#isReading = false;
      });
  }

  async #readPages(isOver: () => boolean): Promise<void> {
    for (;;) {
      if (this.#after === undefined) this.#begin();
      const changed = new Set<number>();
      this.#changed = changed;
      const page = await this.#deps.source.lanes(LANES_AT_ONCE, this.#after);
      if (isOver()) return;
      this.#changed = undefined;
      const continues = this.#take(page, changed);
      this.#deps.onPage();
      if (!continues) return;
      await setImmediate();
      if (isOver()) return;
    }
  }

  /** Takes in a page, without the lanes that have changed since it was asked for. False if the sweep stops here. */
  #take(page: readonly Lane[], changed: ReadonlySet<number>): boolean {
    const { lanes, clock } = this.#deps;
    const now = clock.steady();
    const before = lanes.size;
    const kept = page.filter((lane) => changed.has(lane.id) || lanes.set(lane, now)).length;
    this.#brought += Math.max(0, lanes.size - before);
    this.#pageReadAt = now;
    this.#after = page.at(-1);
    if (page.length < LANES_AT_ONCE || (this.#after?.nextDue ?? 0) > now) {
      this.#end(page.length < LANES_AT_ONCE);
      return false;
    }
    return lanes.size < LANES_FULL && (kept > 0 || this.#isHungry);
  }

  #begin(): void {
    this.#deps.lanes.takeMissedDue();
    this.#missingDue = Number.POSITIVE_INFINITY;
    this.#brought = 0;
  }

  /** All lanes were seen, or all that are due. */
  #end(isAll: boolean): void {
    if (!isAll && this.#after !== undefined) this.#deps.lanes.miss(this.#after.nextDue);
    this.#after = undefined;
    this.#isFutile = this.#brought === 0;
  }
}
