import type { QueueRetention } from "../../jobs/stores/retained-stores.ts";
import { giveBackPages } from "../file/free-pages.ts";
import { readMeta, writeMeta } from "../file/meta.ts";
import type { Changes } from "../group-commit.ts";
import { ROWS_PER_COMMIT, removeLanes } from "./accept.ts";
import type { QueueContext } from "./queue-context.ts";

/**
 * Jobs without a dead letter that ended before `before` (milliseconds since the epoch), the oldest first. Jobs that are
 * partly pruned are among them.
 */
function readPrunable({ db }: QueueContext, before: number, limit: number): number[] {
  return db
    .query<{ seq: number }, [number, number]>(
      "SELECT seq FROM jobs WHERE finished_at < ? AND letters = 0 ORDER BY finished_at, seq LIMIT ?",
    )
    .all(before, limit)
    .map(({ seq }) => seq);
}

/** Deletes jobs until about `rows` rows are gone, the last job perhaps in part. Returns the number of deleted jobs. */
function pruneJobs(context: QueueContext, jobs: readonly number[], rows: number, changes: Changes): number {
  let left = rows;
  let gone = 0;
  for (const seq of jobs) {
    if (left <= 0) break;
    const deleted = pruneJob(context, seq, left, changes);
    if (deleted === undefined) continue;
    if (deleted < left) gone++;
    left -= deleted + 1;
  }
  return gone;
}

/**
 * Deletes up to `limit` tasks of a job, and the job itself if they are fewer. Returns their number. A job that a replay
 * has reopened stays, and gives `undefined`. Runs inside a transaction.
 */
function pruneJob(context: QueueContext, seq: number, limit: number, after: Changes): number | undefined {
  const { db, jobs } = context;
  const job = db
    .query<{ first: number; last: number }, [number]>(
      `UPDATE jobs SET pruning = 1 WHERE seq = ? AND finished_at IS NOT NULL AND letters = 0
       RETURNING first_task AS first, last_task AS last`,
    )
    .get(seq);
  if (job === null) return undefined;
  const { changes } = db
    .query<never, [number, number, number, number]>(
      "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE id BETWEEN ? AND ? AND job = ? LIMIT ?)",
    )
    .run(job.first, job.last, seq, limit);
  if (changes === limit || removeLanes(context, seq) === ROWS_PER_COMMIT) return limit;
  db.query<never, [number]>("DELETE FROM jobs WHERE seq = ?").run(seq);
  after.after("cache", () => jobs.forget(seq));
  return changes;
}

/**
 * Deletes up to `limit` idempotency keys from before `before`, except those of jobs at work. Runs inside a transaction.
 */
function pruneKeys({ db }: QueueContext, before: number, limit: number): number {
  return db
    .query<never, [number, number]>(
      `DELETE FROM idempotency WHERE (tenant, key) IN (SELECT tenant, key FROM idempotency AS old WHERE created_at < ?
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE seq = old.job AND finished_at IS NULL) LIMIT ?)`,
    )
    .run(before, limit).changes;
}

export class QueuePruning implements QueueRetention {
  readonly #context: QueueContext;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  /** Jobs that ended before `before` (milliseconds since the epoch) and may be pruned. */
  async prunableJobs(before: number, limit: number): Promise<number[]> {
    return readPrunable(this.#context, before, limit);
  }

  /** Removes ended jobs until about `rows` rows are gone. Resolves to the number of jobs that are gone. */
  pruneJobs(jobs: readonly number[], rows: number): Promise<number> {
    return this.#context.commit.run((changes) => pruneJobs(this.#context, jobs, rows, changes));
  }

  /** Deletes idempotency keys from before `before`, except those of jobs at work. Resolves to their number. */
  pruneKeys(before: number, limit: number): Promise<number> {
    return this.#context.commit.run(() => pruneKeys(this.#context, before, limit));
  }

  async keptJobs(jobs: readonly number[]): Promise<number[]> {
    return this.#context.db
      .query<{ seq: number }, [string]>("SELECT seq FROM jobs WHERE seq IN (SELECT value FROM json_each(?))")
      .all(JSON.stringify(jobs))
      .map(({ seq }) => seq);
  }

  /** Returns up to `limit` free pages to the file system. False if there are too few of them. */
  async giveBackPages(limit: number): Promise<boolean> {
    return giveBackPages(this.#context.db, limit);
  }

  /** The time when the wall clock was last trusted, in milliseconds since the epoch; 0 if it never was. */
  async clockTrustedAt(): Promise<number> {
    return Number(readMeta(this.#context.db, "clock_trusted"));
  }

  noteTrustedClock(now: number): Promise<void> {
    return this.#context.commit.run(() => writeMeta(this.#context.db, "clock_trusted", String(now)));
  }
}
