import type { Database } from "bun:sqlite";

/**
 * Deletes about `limit` log rows of jobs that ended before `before` (milliseconds since the epoch); each job counts as
 * one row more. Returns their number and whether there are more. The jobs' `log_count` stays.
 */
export function pruneLogs(db: Database, before: number, limit: number): { rows: number; more: boolean } {
  const jobs = db
    .query<{ seq: number }, [number, number]>("SELECT seq FROM jobs WHERE completed_at < ? AND has_logs = 1 LIMIT ?")
    .all(before, limit);
  return db.transaction(() => {
    let rows = 0;
    let left = limit;
    for (const { seq } of jobs) {
      if (left <= 0) break;
      const deleted = deleteLogs(db, seq, left);
      if (deleted < left) db.query<never, [number]>("UPDATE jobs SET has_logs = 0 WHERE seq = ?").run(seq);
      rows += deleted;
      left -= deleted + 1;
    }
    return { rows, more: left <= 0 };
  })();
}

/** An ended job. Jobs are pruned in the order of their end. */
export interface EndedJob {
  readonly seq: number;
  readonly completedAt: number;
}

/** Jobs that ended before `before`, the oldest first, from the one after `after` on. */
export function readPrunableJobs(db: Database, before: number, after: EndedJob, limit: number): EndedJob[] {
  return db
    .query<EndedJob, [number, number, number, number]>(
      `SELECT seq, completed_at AS completedAt FROM jobs WHERE completed_at < ? AND (completed_at, seq) > (?, ?)
       ORDER BY completed_at, seq LIMIT ?`,
    )
    .all(before, after.completedAt, after.seq, limit);
}

/** Deletes jobs until about `rows` rows are gone, the last job perhaps in part. Returns the number of deleted jobs. */
export function pruneJobs(db: Database, jobs: readonly number[], rows: number): number {
  return db.transaction(() => {
    let left = rows;
    let gone = 0;
    for (const seq of jobs) {
      if (left <= 0) break;
      const deleted = pruneJob(db, seq, left);
      if (deleted < left) gone++;
      left -= deleted + 1;
    }
    return gone;
  })();
}

/**
 * Deletes rows of a job, and the job itself if they are fewer than `limit`. The job is hidden from the first row on.
 */
function pruneJob(db: Database, seq: number, limit: number): number {
  const job = db
    .query<{ first: number; last: number }, [number]>(
      "UPDATE jobs SET pruning = 1 WHERE seq = ? RETURNING first_task AS first, last_task AS last",
    )
    .get(seq);
  if (job === null) return 0;
  const { changes } = db
    .query<never, [number, number, number, number]>(
      "DELETE FROM results WHERE task IN (SELECT task FROM results WHERE task BETWEEN ? AND ? AND job = ? LIMIT ?)",
    )
    .run(job.first, job.last, seq, limit);
  if (changes === limit) return limit;
  const rows = changes + deleteLogs(db, seq, limit - changes);
  if (rows < limit) db.query<never, [number]>("DELETE FROM jobs WHERE seq = ?").run(seq);
  return rows;
}

export function pruneKeys(db: Database, before: number, limit: number): number {
  return db
    .query<never, [number, number]>(
      `DELETE FROM idempotency WHERE (tenant, key) IN
         (SELECT tenant, key FROM idempotency WHERE created_at < ? LIMIT ?)`,
    )
    .run(before, limit).changes;
}

function deleteLogs(db: Database, job: number, limit: number): number {
  return db
    .query<never, [number, number]>(
      "DELETE FROM logs WHERE job = ?1 AND offset IN (SELECT offset FROM logs WHERE job = ?1 ORDER BY offset LIMIT ?2)",
    )
    .run(job, limit).changes;
}
