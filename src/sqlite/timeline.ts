import type { Database } from "bun:sqlite";
import { readMeta, writeMeta } from "./meta.ts";
import { StoreError } from "./store-error.ts";

export interface FollowingStore {
  readonly db: Database;
  readonly path: string;
  readonly appliedSeq: number;
}

/**
 * Tells stores of one history from those of another that began as its copy, and counts on from the same numbers: each
 * start opens an epoch with a name of its own. A follower is in the same one, or in the one before, and then it holds
 * nothing of this one: it is brought into it here, before it is given anything.
 * @throws StoreError if a follower is of another history
 */
export function joinTimeline(queueDb: Database, queuePath: string, followers: readonly FollowingStore[]): void {
  const epoch = readMeta(queueDb, "epoch");
  if (epoch === "") return;
  const before = readMeta(queueDb, "epoch_before");
  const from = Number(readMeta(queueDb, "epoch_from"));
  for (const { db, path, appliedSeq } of followers) {
    const own = readMeta(db, "epoch");
    if (own === epoch || (own === before && appliedSeq <= from)) continue;
    throw new StoreError(
      path,
      `went another way than ${queuePath} since they were one: restore all stores from one backup, or move all of them away to begin anew`,
    );
  }
  for (const { db } of followers) if (readMeta(db, "epoch") !== epoch) writeMeta(db, "epoch", epoch);
}

/**
 * Opens a new epoch, which begins after batch `last`. To be called when every follower holds all that there is, and the
 * present epoch, durably: the step into the new one may be lost with the power, but not two of them.
 */
export function advanceTimeline(queueDb: Database, followers: readonly FollowingStore[], last: number): void {
  const epoch = Bun.randomUUIDv7();
  queueDb.transaction(() => {
    writeMeta(queueDb, "epoch_before", readMeta(queueDb, "epoch"));
    writeMeta(queueDb, "epoch_from", String(last));
    writeMeta(queueDb, "epoch", epoch);
  })();
  for (const { db } of followers) writeMeta(db, "epoch", epoch);
}
