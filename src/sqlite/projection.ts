import type { Database } from "bun:sqlite";
import type { Event, EventBatch } from "../gen/fetchbox/v1/event.ts";
import { readMeta } from "./file/meta.ts";
import type { Projection } from "./outbox.ts";

/**
 * Makes a follower of queue.db out of a store and the way it takes events in: `applied_seq` moves in the same
 * transaction, so that no event counts twice. `synchronous = NORMAL` suffices, since the outbox keeps what is not
 * yet durable here.
 */
export function createProjection(db: Database, path: string, apply: (events: readonly Event[]) => void): Projection {
  let applied = Number(readMeta(db, "applied_seq"));
  const write = db.transaction((last: number, batches: readonly EventBatch[]) => {
    apply(batches.flatMap(({ events }) => events));
    db.query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'applied_seq'").run(String(last));
  });
  return {
    path,
    appliedSeq: () => applied,
    apply(first, batches) {
      if (first !== applied + 1) throw new Error(`${path}: batch ${first} does not follow ${applied}`);
      const last = applied + batches.length;
      write.immediate(last, batches);
      applied = last;
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
