import type { Database } from "bun:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type EventBatch, EventBatchSchema } from "../gen/fetchbox/v1/event_pb.ts";
import type { NewEvent } from "./group-commit.ts";
import { readMeta } from "./meta.ts";
import { StoreError } from "./store-error.ts";

/** A store that follows queue.db. */
export interface Follower {
  readonly path: string;
  /** The last batch it holds; 0 for none. */
  appliedSeq(): number;
  /** Takes the next batch, whole or not at all; `seq` is `appliedSeq() + 1`. */
  apply(seq: number, batch: EventBatch): void;
  /** Makes what was applied so far durable, and says up to which batch that is true. */
  checkpoint(): number;
}

/** Batches that may gather before the followers are made durable and the outbox is trimmed. */
const TRIM_BATCHES = 2000;

/**
 * Carries what queue.db decided to its followers (D1): in order, each batch once, surviving crashes of either side.
 * A batch is written in the transaction it tells of, and is trimmed only when both followers have it durably.
 */
export class Outbox {
  readonly #db: Database;
  readonly #path: string;
  readonly #followers: readonly Follower[];
  readonly #onLag: (follower: Follower, error: unknown) => void;
  /** Told what queue.db threw. */
  readonly #onFailed: (error: unknown) => void;
  #last: number;
  #lastError: unknown;
  #trimmed: number;

  /** @throws StoreError if a follower is ahead of the truth, or behind what was trimmed. */
  constructor(
    db: Database,
    path: string,
    followers: readonly Follower[],
    onLag: (follower: Follower, error: unknown) => void,
    onFailed: (error: unknown) => void = () => {},
  ) {
    this.#db = db;
    this.#path = path;
    this.#followers = followers;
    this.#onLag = onLag;
    this.#onFailed = onFailed;
    this.#trimmed = readTrimmed(db);
    this.#last =
      db.query<{ last: number | null }, []>("SELECT max(seq) AS last FROM outbox").get()?.last ?? this.#trimmed;
    for (const follower of followers) this.#checkFollower(follower);
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

  /** True if every follower holds all there is. */
  get isDelivered(): boolean {
    return this.#followers.every((follower) => follower.appliedSeq() === this.#last);
  }

  /** Writes one batch, inside the transaction it tells of; `deliver` brings it out once that is committed. */
  write(events: NewEvent[]): { seq: number; batch: EventBatch } {
    const batch = create(EventBatchSchema, { events });
    const seq = this.#last + 1;
    this.#db
      .query<never, [number, Uint8Array]>("INSERT INTO outbox (seq, batch) VALUES (?, ?)")
      .run(seq, toBinary(EventBatchSchema, batch));
    return { seq, batch };
  }

  /**
   * Hands a committed batch to the followers, after whatever they missed. One that fails gets it later, and so do those
   * behind it: what the ledger shows is in the dead letters.
   */
  deliver(committed: { seq: number; batch: EventBatch }): void {
    this.#last = committed.seq;
    for (const follower of this.#followers) {
      try {
        if (follower.appliedSeq() < committed.seq - 1) this.#catchUp(follower);
        if (follower.appliedSeq() === committed.seq - 1) follower.apply(committed.seq, committed.batch);
      } catch (error) {
        this.#lastError = error;
        this.#onLag(follower, error);
        break;
      }
    }
    if (this.length >= TRIM_BATCHES) this.#tryTrim();
  }

  /** Gives every follower what it missed. @throws what the follower throws. */
  replay(): void {
    for (const follower of this.#followers) this.#catchUp(follower);
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

  /** Trims, and says whether all that was told so far is with the followers durably. */
  makeDurable(): boolean {
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

  #catchUp(follower: Follower): void {
    const next = this.#db.query<{ seq: number; batch: Uint8Array }, [number]>(
      "SELECT seq, batch FROM outbox WHERE seq > ? ORDER BY seq LIMIT 1",
    );
    for (let row = next.get(follower.appliedSeq()); row !== null; row = next.get(row.seq)) {
      follower.apply(row.seq, fromBinary(EventBatchSchema, row.batch));
    }
  }

  #checkFollower(follower: Follower): void {
    const applied = follower.appliedSeq();
    if (applied > this.#last) {
      throw new StoreError(
        follower.path,
        `is ahead of ${this.#path} (${applied} > ${this.#last}): one of them was restored from another time; restore both from one backup`,
      );
    }
    if (applied < this.#trimmed) {
      throw new StoreError(
        follower.path,
        `is behind ${this.#path} (${applied} < ${this.#trimmed}): it was lost or restored from another time; restore all stores from one backup`,
      );
    }
  }
}

/** The last batch that was forgotten, because every follower had it; 0 for none. */
export function readTrimmed(db: Database): number {
  return Number(readMeta(db, "outbox_trimmed"));
}
