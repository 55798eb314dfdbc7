import type { Database } from "bun:sqlite";
import type { Event, EventBatch } from "../gen/fetchbox/v1/event.ts";
import { readMeta } from "./file/meta.ts";
import type { Projection } from "./outbox.ts";

/**
 * A projection of queue.db into a store, which `apply` updates. `applied_seq` moves in the same transaction, so that no
 * event counts twice. `synchronous = NORMAL` suffices: the outbox keeps events that are not durable here.
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
      // A reader may keep the checkpoint from copying the whole log into the synced database file.
      return row !== null && row.busy === 0 && row.log === row.checkpointed ? at : 0;
    },
  };
}
