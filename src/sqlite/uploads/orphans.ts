import type { ObjectRef } from "../../jobs/object-store.ts";
import {
  type NewOrphan,
  type Orphan,
  type OrphanKind,
  type OrphanSort,
  type Postponed,
  sortOf,
} from "../../jobs/stores/orphan-records.ts";
import type { QueueContext } from "../queue/queue-context.ts";

/** The time until the first look at an orphan, in milliseconds. */
const FIRST_LOOK_MS = 1000;
/** The same as `sortOf`, in SQL. */
const SORT = "CASE WHEN kind = 'object' THEN 'late_object' WHEN name = '' THEN 'late_upload' ELSE 'upload' END";

/** Records an orphan, or restarts the watch of a known one. Runs inside a transaction. */
export function addOrphan(context: QueueContext, { task, bucket, key, kind, name }: NewOrphan): void {
  const now = context.clock.steady();
  context.db
    .query<never, [number, string, string, OrphanKind, string, number, number]>(
      `INSERT INTO orphans (task, bucket, key, kind, name, left_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (bucket, key, kind, name) DO UPDATE SET task = excluded.task, left_at = excluded.left_at,
         due_at = excluded.due_at, looks = 0`,
    )
    .run(task, bucket, key, kind, name, now, now + FIRST_LOOK_MS);
}

/** Forgets objects that attempts of a task may still store. Runs inside a transaction. */
export function forgetObjectsOf(context: QueueContext, task: number): void {
  context.db.query<never, [number]>("DELETE FROM orphans WHERE task = ? AND kind = 'object'").run(task);
}

/** Makes all orphans due, for a new process with its own clock. Runs inside a transaction. */
export function makeAllDue(context: QueueContext): void {
  const now = context.clock.steady();
  context.db.query<never, [number]>("UPDATE orphans SET due_at = 0, left_at = min(left_at, ?)").run(now);
}

/** Keys with orphans that are due, the longest due first. */
export function readDueKeys(context: QueueContext, sorts: readonly OrphanSort[], limit: number): ObjectRef[] {
  return context.db
    .query<{ bucket: string; key: string }, [number, string, number]>(
      `SELECT bucket, key FROM orphans WHERE due_at <= ? AND ${SORT} IN (SELECT value FROM json_each(?))
       GROUP BY bucket, key ORDER BY min(due_at), bucket, key LIMIT ?`,
    )
    .all(context.clock.steady(), JSON.stringify(sorts), limit);
}

/** The due orphans under a key. */
export function readDueUnder(context: QueueContext, { bucket, key }: ObjectRef): Orphan[] {
  return context.db
    .query<Orphan, [string, string, number]>(
      `SELECT id, task, bucket, key, kind, name, left_at AS leftAt, looks, failures FROM orphans
       WHERE bucket = ? AND key = ? AND due_at <= ? ORDER BY id`,
    )
    .all(bucket, key, context.clock.steady());
}

/** Runs inside a transaction; one that is gone stays gone. */
export function forgetOrphans(context: QueueContext, ids: readonly number[]): void {
  const forget = context.db.query<never, [number]>("DELETE FROM orphans WHERE id = ?");
  for (const id of ids) forget.run(id);
}

/** Runs inside a transaction; one that is gone stays gone. */
export function postponeOrphans(context: QueueContext, postponed: readonly Postponed[]): void {
  const postpone = context.db.query<never, [number, number, number, number]>(
    "UPDATE orphans SET due_at = ?, looks = ?, failures = ? WHERE id = ?",
  );
  for (const { id, dueAt, looks, failures } of postponed) postpone.run(dueAt, looks, failures, id);
}

export function countOrphans(context: QueueContext): Record<OrphanSort, number> {
  const rows = context.db
    .query<{ kind: OrphanKind; name: string; n: number }, []>(
      "SELECT kind, max(name) AS name, count(*) AS n FROM orphans GROUP BY kind, name = ''",
    )
    .all();
  const counts = { upload: 0, late_upload: 0, late_object: 0 };
  for (const row of rows) counts[sortOf(row)] += row.n;
  return counts;
}
