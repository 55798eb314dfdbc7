import type { Database } from "bun:sqlite";
import { readMeta, writeMeta } from "./meta.ts";

/** The epoch of queue.db, and the one before, which ended with batch `from`. */
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
 * Tells stores of one history from those of another that began as its copy, and counts on from the same numbers: each
 * start opens an epoch with a name of its own. A follower is in the same one, or in the one before, and then it holds
 * nothing of this one.
 */
export function isInEpoch({ epoch, before, from }: Epoch, own: { epoch: string; appliedSeq: number }): boolean {
  return epoch === "" || own.epoch === epoch || (own.epoch === before && own.appliedSeq <= from);
}

/** Brings followers into the epoch of queue.db, before they are given anything of it. */
export function joinEpoch(queueDb: Database, followers: readonly Database[]): void {
  const epoch = readMeta(queueDb, "epoch");
  for (const db of followers) if (readMeta(db, "epoch") !== epoch) writeMeta(db, "epoch", epoch);
}

/**
 * Opens a new epoch, which begins after batch `last`. To be called when every follower holds all that there is, and the
 * present epoch, durably: the step into the new one may be lost with the power, but not two of them.
 */
export function advanceEpoch(queueDb: Database, followers: readonly Database[], last: number): void {
  const epoch = Bun.randomUUIDv7();
  queueDb.transaction(() => {
    writeMeta(queueDb, "epoch_before", readMeta(queueDb, "epoch"));
    writeMeta(queueDb, "epoch_from", String(last));
    writeMeta(queueDb, "epoch", epoch);
  })();
  for (const db of followers) writeMeta(db, "epoch", epoch);
}
