import type { Database } from "bun:sqlite";
import { type Event, EventBatch } from "../gen/fetchbox/v1/event.ts";
import { readMeta } from "./file/meta.ts";

/** A store that follows queue.db. */
export interface Projection {
  readonly path: string;
  /** The last batch it holds; 0 for none. */
  appliedSeq(): number;
  /** Takes the next batches, all of them or none; `first`, the number of the first, is `appliedSeq() + 1`. */
  apply(first: number, batches: readonly EventBatch[]): void;
  /** Makes what was applied so far durable, and says up to which batch that is true. */
  checkpoint(): number;
}

/** Batches that may gather before the followers are made durable and the outbox is trimmed. */
const TRIM_BATCHES = 2000;
/** So many events are brought to the followers without waiting: they hold the loop up for about 3 ms. */
const DELIVER_EVENTS = 256;
/** What nobody reads sooner is with the followers after so long. */
const DELIVER_MS = 50;
/**
 * Events that come with every task, and that nobody is answered with: they may be with the followers a little later, in
 * their order. What else is committed is delivered at once.
 */
const PATIENT: ReadonlySet<string | undefined> = new Set(["taskCompleted", "taskPostponed", "taskFailed"]);
/** Batches that a follower which missed them takes at a time. */
const CATCH_UP_BATCHES = 64;

/**
 * Carries what queue.db decided to its followers (D1): in order, each batch once, surviving crashes of either side. A
 * batch is written in the transaction it tells of, and is trimmed only when both followers have it durably. What tells
 * of tasks alone gathers for a moment, since many batches in one transaction cost a follower less than half.
 */
export class Outbox {
  readonly #db: Database;
  readonly #followers: readonly Projection[];
  readonly #onLag: (follower: Projection, error: unknown) => void;
  /** Told what queue.db threw. */
  readonly #onFailed: (error: unknown) => void;
  #last: number;
  #lastError: unknown;
  #isStuck = false;
  #trimmed: number;
  /** Committed, and not yet with the followers; the last of them is `#last`. */
  #gathered: EventBatch[] = [];
  #gatheredEvents = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    db: Database,
    followers: readonly Projection[],
    onLag: (follower: Projection, error: unknown) => void,
    onFailed: (error: unknown) => void = () => {},
  ) {
    this.#db = db;
    this.#followers = followers;
    this.#onLag = onLag;
    this.#onFailed = onFailed;
    this.#trimmed = readTrimmed(db);
    this.#last = readLast(db);
  }

  /** The number of the last batch; 0 for none. */
  get last(): number {
    return this.#last;
  }

  /** Batches that some follower has yet to make durable. */
  get length(): number {
    return this.#last - this.#trimmed;
  }

  /** What the follower threw that failed last. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** True from when a follower could not take something until it could. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** True if every follower holds all there is. */
  get isDelivered(): boolean {
    return this.#followers.every((follower) => follower.appliedSeq() === this.#last);
  }

  /** Writes one batch, inside the transaction it tells of; `committed` brings it out. */
  write(events: readonly Event[]): { seq: number; batch: EventBatch } {
    const batch: EventBatch = { events };
    const seq = this.#last + 1;
    this.#db
      .query<never, [number, Uint8Array]>("INSERT INTO outbox (seq, batch) VALUES (?, ?)")
      .run(seq, EventBatch.encode(batch).finish());
    return { seq, batch };
  }

  /** Takes in that a batch is on the disk: it goes to the followers now, or soon. */
  committed({ seq, batch }: { seq: number; batch: EventBatch }): void {
    this.#last = seq;
    this.#gathered.push(batch);
    this.#gatheredEvents += batch.events.length;
    const isUrgent = batch.events.some(({ kind }) => !PATIENT.has(kind?.$case));
    if (isUrgent || this.#gatheredEvents >= DELIVER_EVENTS) this.deliver();
    else this.#timer ??= setTimeout(() => this.deliver(), DELIVER_MS);
  }

  /**
   * Hands what was committed to the followers, after whatever they missed. One that fails gets it later, and so do
   * those behind it: what the ledger shows is in the dead letters.
   */
  deliver(): void {
    const batches = this.#takeGathered();
    if (batches.length === 0) return;
    const first = this.#last - batches.length + 1;
    try {
      for (const follower of this.#followers) this.#bring(follower, first, batches);
      this.#isStuck = false;
    } catch {
      this.#isStuck = true;
    }
    if (this.length >= TRIM_BATCHES) this.#tryTrim();
  }

  /** Gives every follower what it missed. @throws what the follower throws. */
  replay(): void {
    this.#takeGathered();
    this.#isStuck = true;
    for (const follower of this.#followers) this.#catchUp(follower);
    this.#isStuck = false;
  }

  /** Delivers nothing more by itself; the next process does. */
  close(): void {
    this.#takeGathered();
  }

  /** Forgets what both followers have durably. @throws if a store cannot be written to; then nothing is forgotten. */
  trim(): void {
    const durable = Math.min(...this.#followers.map((follower) => follower.checkpoint()));
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

  /** Makes the followers durable, and says whether that is all there is. @throws what a follower throws */
  isDurable(): boolean {
    return this.#followers.every((follower) => follower.checkpoint() === this.#last);
  }

  /** Delivers and trims, and says whether all that was told so far is with the followers durably. */
  makeDurable(): boolean {
    this.deliver();
    const last = this.#last;
    this.#tryTrim();
    return this.#trimmed >= last;
  }

  /** What is committed stays so if there is no trimming now (a full disk): the next commit and upkeep try again. */
  #tryTrim(): void {
    try {
      this.trim();
    } catch {
      // A disk that stays full shows in the next commit.
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

  #bring(follower: Projection, first: number, batches: readonly EventBatch[]): void {
    try {
      if (follower.appliedSeq() === first - 1) follower.apply(first, batches);
      else this.#catchUp(follower);
    } catch (error) {
      this.#lastError = error;
      this.#onLag(follower, error);
      throw error;
    }
  }

  #catchUp(follower: Projection): void {
    const next = this.#db.query<{ seq: number; batch: Uint8Array }, [number, number]>(
      "SELECT seq, batch FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
    );
    for (;;) {
      const rows = next.all(follower.appliedSeq(), CATCH_UP_BATCHES);
      const [first] = rows;
      if (first === undefined) return;
      follower.apply(
        first.seq,
        rows.map(({ batch }) => EventBatch.decode(batch)),
      );
    }
  }
}

/** The last batch that was forgotten, because every follower had it; 0 for none. */
export function readTrimmed(db: Database): number {
  return Number(readMeta(db, "outbox_trimmed"));
}

/** The last batch that was committed; 0 for none. */
export function readLast(db: Database): number {
  return db.query<{ last: number | null }, []>("SELECT max(seq) AS last FROM outbox").get()?.last ?? readTrimmed(db);
}
