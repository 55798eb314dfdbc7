import { Database } from "bun:sqlite";
import type { ObjectStore } from "../jobs/object-store.ts";
import {
  DROP_WAITS,
  dropGroups,
  RECOUNT_DEPTH,
  RECOUNT_JOB_COUNTS,
  RECOUNT_JOBS,
  RECOUNT_LANES,
  RECOUNT_WAITS,
  recountGroups,
  recountSize,
} from "../sqlite/counters.ts";
import type { StorePaths } from "../sqlite/file/store-paths.ts";
import { counted } from "../std/counted.ts";
import type { Verified } from "./verify.ts";

const RESULT_BYTES = `(SELECT coalesce(sum(r.bytes), 0) FROM ledger.results r
  WHERE r.task BETWEEN ledger.jobs.first_task AND ledger.jobs.last_task AND r.job = ledger.jobs.seq)`;
const STATUS = `CASE WHEN completed + failed + cancelled < total THEN
    CASE status WHEN 'queued' THEN 'queued' ELSE 'in_progress' END
  WHEN cancelled > 0 THEN 'cancelled' WHEN failed = 0 THEN 'completed' WHEN completed = 0 THEN 'failed' ELSE 'partial' END`;

interface Repair {
  readonly what: string;
  readonly sql: string;
}

/** Repairs of derived counters; rows are the truth. Each statement changes only wrong rows. */
const QUEUE_REPAIRS: readonly Repair[] = [
  {
    what: "job counters of queue.db",
    sql: RECOUNT_JOBS,
  },
  {
    what: "job states of queue.db",
    sql: `UPDATE jobs SET status = ${STATUS}, finished_at = CASE WHEN completed + failed + cancelled < total THEN NULL
        ELSE coalesce(finished_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)) END
      WHERE status <> 'staged' AND pruning = 0 AND status <> ${STATUS}`,
  },
  { what: "lanes", sql: RECOUNT_LANES },
  { what: "depths", sql: RECOUNT_DEPTH },
  { what: "hosts without waiting tasks", sql: DROP_WAITS },
  { what: "counts of waiting tasks of hosts", sql: RECOUNT_WAITS },
  {
    what: "counters and states of ledger.db",
    sql: `UPDATE ledger.jobs SET (status, completed, failed, cancelled) = (SELECT status, completed, failed, cancelled
        FROM main.jobs q WHERE q.seq = ledger.jobs.seq)
      WHERE EXISTS (SELECT 1 FROM main.jobs q WHERE q.seq = ledger.jobs.seq AND q.status <> 'staged' AND q.pruning = 0
        AND (q.status, q.completed, q.failed, q.cancelled) IS NOT
          (ledger.jobs.status, ledger.jobs.completed, ledger.jobs.failed, ledger.jobs.cancelled))`,
  },
  { what: "counts of jobs by status", sql: RECOUNT_JOB_COUNTS },
  {
    what: "byte counts of ledger.db",
    sql: `UPDATE ledger.jobs SET bytes = ${RESULT_BYTES} WHERE bytes <> ${RESULT_BYTES}`,
  },
  {
    what: "dead letters of tasks that have none",
    sql: `DELETE FROM dlq.dead_letters WHERE EXISTS
      (SELECT 1 FROM main.tasks t WHERE t.id = dlq.dead_letters.task AND t.letter = 0)`,
  },
  { what: "counts of dead letters", sql: recountSize("dlq.") },
  { what: "empty groups of dead letters", sql: dropGroups("dlq.") },
  { what: "counts of groups of dead letters", sql: recountGroups("dlq.") },
];

/**
 * Repairs inconsistencies without a loss: it recounts counters, deletes dead letters without a failed task, and aborts
 * orphan uploads. If rows are lost the stores stay unchanged, since a recount would hide the loss. Resolves to a list
 * of the repairs. No other process may use the stores.
 */
export async function repair(
  paths: StorePaths,
  { findings, orphanUploads }: Verified,
  store: Pick<ObjectStore, "abortUpload">,
  signal: AbortSignal,
): Promise<string[]> {
  const done = findings.losses.size === 0 ? repairStores(paths) : [];
  for (const upload of orphanUploads) {
    await store.abortUpload(upload, signal);
    done.push(`aborted the upload ${upload.uploadId} ${upload.key}`.trimEnd());
  }
  return done;
}

function repairStores(paths: StorePaths): string[] {
  const db = new Database(paths.queue, { readwrite: true, create: false, strict: true });
  try {
    db.run("PRAGMA synchronous = FULL");
    for (const store of ["ledger", "dlq"] as const) {
      db.query<never, [string]>(`ATTACH ? AS ${store}`).run(paths[store]);
    }
    return db
      .transaction(() =>
        QUEUE_REPAIRS.flatMap(({ what, sql }) => {
          const { changes } = db.query<never, []>(sql).run();
          return changes === 0 ? [] : [`${what}: ${counted(changes, "row")}`];
        }),
      )
      .immediate();
  } finally {
    db.close();
  }
}
