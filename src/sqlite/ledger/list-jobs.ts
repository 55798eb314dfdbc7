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
 * status, the lists of all statuses are merged. An idempotency key and the start of a job id have their own indexes.
 */
export function listJobs(db: Database, filter: JobFilter, beforeSeq: number, limit: number): JobRecord[] {
  const { status, tenant, jobType, idempotencyKey, idPrefix } = filter;
  const isByIndex = status !== undefined || idempotencyKey !== undefined || idPrefix !== undefined;
  const isAnyStatus = !isByIndex && (tenant !== undefined || jobType !== undefined);
  const span = seqsOf(db, filter, beforeSeq);
  const lists = (isAnyStatus ? JOB_STATUSES : [status]).map((one) =>
    listOneStatus(db, { ...filter, status: one }, span, limit),
  );
  return lists.length === 1
    ? (lists[0] ?? [])
    : lists
        .flat()
        .toSorted((a, b) => b.seq - a.seq)
        .slice(0, limit);
}

interface SeqSpan {
  readonly from: number;
  readonly before: number;
}

/**
 * The numbers of the jobs of a span of time, so that each index serves it. If the clock was set back, the search may
 * miss jobs of the time that came twice.
 */
function seqsOf(db: Database, { since, until }: JobFilter, before: number): SeqSpan {
  const from = since === undefined ? 0 : firstSeqSince(db, since);
  return { from, before: until === undefined ? before : Math.min(before, firstSeqSince(db, until)) };
}

/** The number of the first job that was accepted at `at` or later, by a binary search. */
function firstSeqSince(db: Database, at: number): number {
  const next = db.query<{ seq: number; createdAt: number }, [number]>(
    "SELECT seq, created_at AS createdAt FROM jobs WHERE seq >= ? ORDER BY seq LIMIT 1",
  );
  let low = 0;
  let high = (db.query<{ seq: number | null }, []>("SELECT max(seq) AS seq FROM jobs").get()?.seq ?? 0) + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const job = next.get(middle);
    if (job === null || job.createdAt >= at) high = middle;
    else low = job.seq + 1;
  }
  return low;
}

/** The CROSS JOIN makes SQLite start from the key. */
export const JOBS_OF_KEY = "(SELECT job FROM idempotency WHERE key = $idempotencyKey) CROSS JOIN jobs ON seq = job";

const CONDITIONS: Readonly<Partial<Record<keyof JobFilter, string>>> = {
  status: "status = $status",
  jobType: "job_type = $jobType",
  tenant: "tenant = $tenant",
  since: "created_at >= $since",
  until: "created_at < $until",
  // The plus signs of the other conditions keep SQLite from their indexes: few jobs share the start of an id.
  idPrefix: "job_id >= $idPrefix AND job_id < $idPrefix || 'g'",
};

function listOneStatus(db: Database, filter: JobFilter, { from, before }: SeqSpan, limit: number): JobRecord[] {
  const jobs = filter.idempotencyKey === undefined ? "jobs" : JOBS_OF_KEY;
  const plus = filter.idPrefix === undefined ? "" : "+";
  const conditions = [`${plus}seq < $before`, `${plus}seq >= $from`, "pruning = 0"];
  const values: Record<string, string | number> = { before, from, limit };
  for (const [name, value] of Object.entries(filter) as [keyof JobFilter, string | number | undefined][]) {
    if (value === undefined) continue;
    values[name] = value;
    const condition = CONDITIONS[name];
    if (condition !== undefined) conditions.push(name === "idPrefix" ? condition : plus + condition);
  }
  return db
    .query<JobRecord, [Record<string, string | number>]>(
      `SELECT ${JOB_COLUMNS} FROM ${jobs} WHERE ${conditions.join(" AND ")} ORDER BY ${plus}seq DESC LIMIT $limit`,
    )
    .all(values);
}
