import type { Database } from "bun:sqlite";
import { readMeta, writeMeta } from "./meta.ts";

/** The epoch of queue.db and the previous one, which ended with batch `from`. */
export interface Epoch {
  readonly epoch: string;
  readonly before: string;
  readonly from: number;
}

export function readEpoch(queueDb: Database): Epoch {
  return {
    epoch: readMeta(queueDb, "epoch"),
    before: readMeta(queueDb, "epoch_before"),
    from: Number(readMeta(queueDb, "epoch_from")),
  };
}

/**
 * Whether a projection belongs to the history of queue.db. A copy of the stores continues with the same batch numbers,
 * so each start opens an epoch with its own name. A projection is in the same epoch. It may also be in the previous one
 * and then holds no batch of this one.
 */
export function isInEpoch({ epoch, before, from }: Epoch, own: { epoch: string; appliedSeq: number }): boolean {
  return epoch === "" || own.epoch === epoch || (own.epoch === before && own.appliedSeq <= from);
}

/** Brings projections into the epoch of queue.db, before they get its events. */
export function joinEpoch(queueDb: Database, projections: readonly Database[]): void {
  const epoch = readMeta(queueDb, "epoch");
  for (const db of projections) if (readMeta(db, "epoch") !== epoch) writeMeta(db, "epoch", epoch);
}

/**
 * Opens a new epoch, which starts after batch `last`. Call it when every projection durably holds all batches and the
 * present epoch: a loss of power may undo one step to a new epoch, but must not undo two.
 */
export function advanceEpoch(queueDb: Database, projections: readonly Database[], last: number): void {
  const epoch = Bun.randomUUIDv7();
  queueDb.transaction(() => {
    writeMeta(queueDb, "epoch_before", readMeta(queueDb, "epoch"));
    writeMeta(queueDb, "epoch_from", String(last));
    writeMeta(queueDb, "epoch", epoch);
  })();
  for (const db of projections) writeMeta(db, "epoch", epoch);
}
