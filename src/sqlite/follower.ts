import type { Database } from "bun:sqlite";
import type { EventBatch } from "../gen/fetchbox/v1/event_pb.ts";
import { readMeta } from "./meta.ts";
import type { Follower } from "./outbox.ts";

/**
 * Makes a follower of queue.db out of a store and the way it takes events in: `applied_seq` moves in the same
 * transaction, so that no event counts twice. `synchronous = NORMAL` suffices, since the outbox keeps what is not
 * yet durable here.
 */
export function createFollower(db: Database, path: string, apply: (batch: EventBatch) => void): Follower {
  let applied = Number(readMeta(db, "applied_seq"));
  const write = db.transaction((seq: number, batch: EventBatch) => {
    apply(batch);
    db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'applied_seq'").run(String(seq));
  });
  return {
    path,
    appliedSeq: () => applied,
    apply(seq, batch) {
      if (seq !== applied + 1) throw new Error(`${path}: batch ${seq} does not follow ${applied}`);
      write.immediate(seq, batch);
      applied = seq;
    },
    checkpoint() {
      const at = applied;
      const row = db
        .query<{ busy: number; log: number; checkpointed: number }, []>("PRAGMA wal_checkpoint(PASSIVE)")
        .get();
      // Everything is in the database file, which the checkpoint has synced; a reader may keep it from getting there.
      return row !== null && row.busy === 0 && row.log === row.checkpointed ? at : 0;
    },
  };
}
