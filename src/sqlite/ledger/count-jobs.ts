import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import { JOB_STATUSES, type JobStatus } from "../../jobs/job.ts";
import type { JobCounts, JobFilter } from "../../jobs/stores/ledger-reads.ts";

type Filter = Pick<JobFilter, "jobType" | "tenant">;

interface Examined {
  /** Jobs that were examined, at most one more than the limit. */
  readonly examined: number;
  readonly matching: number;
}

/**
 * Counts the jobs by status: from the maintained counts, or by at most `limit` jobs of each status, one status in each
 * turn of the event loop.
 */
export async function countJobs(db: Database, filter: Filter, limit: number): Promise<JobCounts> {
  const counts: Record<JobStatus, number> = {
    queued: 0,
    in_progress: 0,
    completed: 0,
    partial: 0,
    failed: 0,
    cancelled: 0,
  };
  if (filter.jobType === undefined && filter.tenant === undefined) {
    const rows = db.query<{ status: JobStatus; jobs: number }, []>("SELECT status, jobs FROM job_counts").all();
    for (const { status, jobs } of rows) counts[status] = jobs;
    return { counts, isCapped: false };
  }
  let isCapped = false;
  for (const status of JOB_STATUSES) {
    const { examined, matching } = examine(db, filter, status, limit + 1);
    counts[status] = Math.min(matching, limit);
    isCapped ||= examined > limit;
    await setImmediate();
  }
  return { counts, isCapped };
}

/** Reads the index of the tenant or of the type, and rows of jobs only for both. */
function examine(db: Database, { jobType, tenant }: Filter, status: JobStatus, limit: number): Examined {
  const [column, value] = tenant === undefined ? (["job_type", jobType] as const) : (["tenant", tenant] as const);
  const other = tenant === undefined ? undefined : jobType;
  const matches = other === undefined ? "count(*)" : "count(*) FILTER (WHERE job_type = $other AND pruning = 0)";
  const row = db
    .query<Examined, [Record<string, string | number>]>(
      `SELECT count(*) AS examined, ${matches} AS matching FROM (SELECT ${other === undefined ? "1" : "job_type, pruning"}
         FROM jobs WHERE ${column} = $value AND status = $status ORDER BY seq DESC LIMIT $limit)`,
    )
    .get({ value: value ?? "", status, limit, ...(other !== undefined && { other }) });
  const { examined = 0, matching = 0 } = row ?? {};
  return {
    examined,
    matching: other === undefined ? matching - pruningJobs(db, column, value ?? "", status) : matching,
  };
}

/** The jobs that retention is deleting, at most a few: no reader sees them. */
function pruningJobs(db: Database, column: "tenant" | "job_type", value: string, status: JobStatus): number {
  return (
    db
      .query<{ n: number }, [string, string]>(
        `SELECT count(*) AS n FROM jobs INDEXED BY jobs_pruning WHERE pruning = 1 AND ${column} = ? AND status = ?`,
      )
      .get(value, status)?.n ?? 0
  );
}
