import type { Database } from "bun:sqlite";
import { JOB_STATUSES } from "../../jobs/job.ts";
import type { JobRecord } from "../../jobs/stores/ledger-reads.ts";
import { type JobFilter } from "../../jobs/stores/ledger-reads.ts";

export const JOB_COLUMNS = `seq, job_id AS jobId, job_type AS jobType, tenant, priority, trace_id AS traceId,
  manifest_url AS manifestUrl, status, total, completed, failed, cancelled, bytes, first_task AS firstTask,
  last_task AS lastTask, log_count AS logCount, created_at AS createdAt, updated_at AS updatedAt,
  completed_at AS completedAt`;

/**
 * Jobs older than `beforeSeq`, newest first. An index finds the jobs of a tenant or a type in one status. For any
 * status, the lists of all statuses are merged. An idempotency key has its own index.
 */
export function listJobs(db: Database, filter: JobFilter, beforeSeq: number, limit: number): JobRecord[] {
  const { status, tenant, jobType, idempotencyKey } = filter;
  const isAnyStatus =
    status === undefined && idempotencyKey === undefined && (tenant !== undefined || jobType !== undefined);
  const lists = (isAnyStatus ? JOB_STATUSES : [status]).map((one) =>
    listOneStatus(db, { ...filter, status: one }, beforeSeq, limit),
  );
  return lists.length === 1
    ? (lists[0] ?? [])
    : lists
        .flat()
        .toSorted((a, b) => b.seq - a.seq)
        .slice(0, limit);
}

/** The CROSS JOIN makes SQLite start from the key. */
export const JOBS_OF_KEY = "(SELECT job FROM idempotency WHERE key = $idempotencyKey) CROSS JOIN jobs ON seq = job";

function listOneStatus(db: Database, filter: JobFilter, beforeSeq: number, limit: number): JobRecord[] {
  const { status, tenant, jobType, idempotencyKey } = filter;
  const jobs = idempotencyKey === undefined ? "jobs" : JOBS_OF_KEY;
  const conditions = ["seq < $before", "pruning = 0"];
  if (status !== undefined) conditions.push("status = $status");
  if (jobType !== undefined) conditions.push("job_type = $jobType");
  if (tenant !== undefined) conditions.push("tenant = $tenant");
  return db
    .query<JobRecord, [Record<string, string | number>]>(
      `SELECT ${JOB_COLUMNS} FROM ${jobs} WHERE ${conditions.join(" AND ")} ORDER BY seq DESC LIMIT $limit`,
    )
    .all({
      before: beforeSeq,
      limit,
      ...(status !== undefined && { status }),
      ...(jobType !== undefined && { jobType }),
      ...(tenant !== undefined && { tenant }),
      ...(idempotencyKey !== undefined && { idempotencyKey }),
    });
}
