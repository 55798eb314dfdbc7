import type { Database } from "bun:sqlite";
import { type Event, EventBatch } from "../gen/fetchbox/v1/event.ts";
import { readMeta } from "./file/meta.ts";

/** A store that is derived from the events of queue.db. */
export interface Projection {
  readonly path: string;
  /** The last batch it holds; 0 for none. */
  appliedSeq(): number;
  /** Applies the next batches, all or none. `first` is the number of the first one: `appliedSeq() + 1`. */
  apply(first: number, batches: readonly EventBatch[]): void;
  /** Makes the applied batches durable. Returns the last batch that is durable. */
  checkpoint(): number;
}

/** Batches in the outbox after which the projections are made durable and the outbox is trimmed. */
const TRIM_BATCHES = 2000;
/** Events that are delivered without delay: they take about 3 ms of the event loop. */
const DELIVER_EVENTS = 256;
/** Longest delay before an event reaches the projections. */
const DELIVER_MS = 50;
/**
 * Frequent events that no response depends on. They may reach the projections a little later, in order. Other events
 * are delivered at once.
 */
const DEFERRED: ReadonlySet<string | undefined> = new Set(["taskCompleted", "taskPostponed", "taskFailed"]);
/** Batches that a projection applies at a time to catch up. */
const CATCH_UP_BATCHES = 64;

/**
 * Delivers the events of queue.db to its projections (D1): in order, each batch once, across crashes of either side. A
 * batch is written in the transaction that it describes. It is trimmed only when both projections hold it durably.
 * Events of tasks gather for a moment: many batches in one transaction take a projection less than half the time.
 */
export class Outbox {
  readonly #db: Database;
  readonly #projections: readonly Projection[];
  readonly #onLag: (projection: Projection, error: unknown) => void;
  /** Called with an error of queue.db. */
  readonly #onFailed: (error: unknown) => void;
  #last: number;
  #lastError: unknown;
  #isStuck = false;
  #trimmed: number;
  /** Committed batches that are not yet delivered; the last one is `#last`. */
  #gathered: EventBatch[] = [];
  #gatheredEvents = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    db: Database,
    projections: readonly Projection[],
    onLag: (projection: Projection, error: unknown) => void,
    onFailed: (error: unknown) => void = () => {},
  ) {
    this.#db = db;
    this.#projections = projections;
    this.#onLag = onLag;
    this.#onFailed = onFailed;
    this.#trimmed = readTrimmed(db);
    this.#last = readLast(db);
  }

  /** The number of the last batch; 0 for none. */
  get last(): number {
    return this.#last;
  }

  /** Batches that are not durable in every projection. */
  get length(): number {
    return this.#last - this.#trimmed;
  }

  /** The latest error of a projection. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** True from a failed delivery until the next one that succeeds. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** True if every projection has applied every batch. */
  get isDelivered(): boolean {
    return this.#projections.every((projection) => projection.appliedSeq() === this.#last);
  }

  /** Writes one batch, inside the transaction that it describes. Call `committed` after the commit. */
  write(events: readonly Event[]): { seq: number; batch: EventBatch } {
    const batch: EventBatch = { events };
    const seq = this.#last + 1;
    this.#db
      .query<never, [number, Uint8Array]>("INSERT INTO outbox (seq, batch) VALUES (?, ?)")
      .run(seq, EventBatch.encode(batch).finish());
    return { seq, batch };
  }

  /** Notes that a batch is on the disk. It is delivered now or after `DELIVER_MS`. */
  committed({ seq, batch }: { seq: number; batch: EventBatch }): void {
    this.#last = seq;
    this.#gathered.push(batch);
    this.#gatheredEvents += batch.events.length;
    const isUrgent = batch.events.some(({ kind }) => !DEFERRED.has(kind?.$case));
    if (isUrgent || this.#gatheredEvents >= DELIVER_EVENTS) this.deliver();
    else this.#timer ??= setTimeout(() => this.deliver(), DELIVER_MS);
  }

  /**
   * Delivers committed batches to the projections, after those that they missed. A projection that fails gets them
   * later, and so do those after it: a failure in the ledger then always has its dead letter.
   */
  deliver(): void {
    const batches = this.#takeGathered();
    if (batches.length === 0) return;
    const first = this.#last - batches.length + 1;
    try {
      for (const projection of this.#projections) this.#deliverTo(projection, first, batches);
      this.#isStuck = false;
    } catch {
      this.#isStuck = true;
    }
    if (this.length >= TRIM_BATCHES) this.#tryTrim();
  }

  /** Delivers to every projection the batches that it missed. @throws the error of a projection */
  replay(): void {
    this.#takeGathered();
    this.#isStuck = true;
    for (const projection of this.#projections) this.#catchUp(projection);
    this.#isStuck = false;
  }

  /** Stops the delivery. The next process delivers the rest. */
  close(): void {
    this.#takeGathered();
  }

  /**
   * Deletes batches that both projections hold durably. @throws if a store cannot be written; no batch is deleted then.
   */
  trim(): void {
    const durable = Math.min(...this.#projections.map((projection) => projection.checkpoint()));
    if (durable <= this.#trimmed) return;
    try {
      this.#db.transaction(() => {
        this.#db.query<never, [number]>("DELETE FROM outbox WHERE seq <= ?").run(durable);
        this.#db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'outbox_trimmed'").run(String(durable));
      })();
    } catch (error) {
      this.#onFailed(error);
      throw error;
    }
    this.#trimmed = durable;
  }

  /** Makes the projections durable. True if they hold every batch. @throws the error of a projection */
  isDurable(): boolean {
    return this.#projections.every((projection) => projection.checkpoint() === this.#last);
  }

  /** Delivers and trims. True if the projections hold every batch so far durably. */
  makeDurable(): boolean {
    this.deliver();
    const last = this.#last;
    this.#tryTrim();
    return this.#trimmed >= last;
  }

  /** Trims if the disk has room. Otherwise the next delivery tries again. */
  #tryTrim(): void {
    try {
      this.trim();
    } catch {
      // The next commit reports a disk that stays full.
    }
  }

  #takeGathered(): readonly EventBatch[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batches = this.#gathered;
    this.#gathered = [];
    this.#gatheredEvents = 0;
    return batches;
  }

  #deliverTo(projection: Projection, first: number, batches: readonly EventBatch[]): void {
    try {
      if (projection.appliedSeq() === first - 1) projection.apply(first, batches);
      else this.#catchUp(projection);
    } catch (error) {
      this.#lastError = error;
      this.#onLag(projection, error);
      throw error;
    }
  }

  #catchUp(projection: Projection): void {
    const next = this.#db.query<{ seq: number; batch: Uint8Array }, [number, number]>(
      "SELECT seq, batch FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
    );
    for (;;) {
      const rows = next.all(projection.appliedSeq(), CATCH_UP_BATCHES);
      const [first] = rows;
      if (first === undefined) return;
      projection.apply(
        first.seq,
        rows.map(({ batch }) => EventBatch.decode(batch)),
      );
    }
  }
}

/** The last batch that was deleted, because every projection held it; 0 for none. */
export function readTrimmed(db: Database): number {
  return Number(readMeta(db, "outbox_trimmed"));
}

/** The last batch that was committed; 0 for none. */
export function readLast(db: Database): number {
  return db.query<{ last: number | null }, []>("SELECT max(seq) AS last FROM outbox").get()?.last ?? readTrimmed(db);
}
