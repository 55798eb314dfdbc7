import type { Database } from "bun:sqlite";
import type { Event, TaskCancelled, TaskCompleted, TaskFailed } from "../../gen/fetchbox/v1/event.ts";
import { AttemptHistory } from "../../gen/fetchbox/v1/task.ts";
import type { JobStatus } from "../../jobs/job.ts";
import { publicUrl } from "../../net/public-url.ts";
import type { OnDrift } from "../counters.ts";
import { insertRows } from "../file/insert-rows.ts";
import { logEntriesOf } from "./log-entries.ts";

/** The changes of one batch to one job's row. */
interface JobChange {
  completed: number;
  failed: number;
  cancelled: number;
  bytes: number;
  logCount: number;
  at: number;
  status: { readonly is: JobStatus; readonly since: number } | undefined;
}

/** Applies events in order, each once. Runs inside a transaction. */
export function applyToLedger(db: Database, events: readonly Event[], onDrift: OnDrift): void {
  const jobs = new Map<number, JobChange>();
  const rows: NewRows = { completed: [], logs: [] };
  for (const event of events) {
    if (event.kind?.$case === "jobAccepted") insertJob(db, event);
    const change = changeOf(db, jobs, event.job);
    change.at = event.at;
    applyEvent(db, event, change, rows);
    appendLogs(event, change, rows);
  }
  writeRows(db, rows);
  for (const [seq, change] of jobs) if (!updateJob(db, seq, change)) onDrift("ledger_jobs");
}

/** Rows that are written together: each completed task has one of each kind. */
interface NewRows {
  completed: SQLValue[][];
  logs: SQLValue[][];
}

type SQLValue = string | number | Uint8Array | null;

function writeRows(db: Database, rows: NewRows): void {
  insertRows(
    db,
    `INSERT INTO results (task, job, state, resource_id, url, final_url, attempts, http_status, bytes, integrity,
       proven_by_size, sha256, etag, content_type, content_encoding, storage_url, started_at, finished_at, history)`,
    "(?, ?, 'completed', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    rows.completed,
  );
  insertRows(
    db,
    "INSERT INTO logs (job, offset, at, level, message, resource_id, fields)",
    "(?, ?, ?, ?, ?, ?, ?)",
    rows.logs,
  );
}

function changeOf(db: Database, jobs: Map<number, JobChange>, seq: number): JobChange {
  let change = jobs.get(seq);
  if (change === undefined) {
    const row = db
      .query<{ logCount: number }, [number]>("SELECT log_count AS logCount FROM jobs WHERE seq = ?")
      .get(seq);
    change = {
      completed: 0,
      failed: 0,
      cancelled: 0,
      bytes: 0,
      logCount: row?.logCount ?? 0,
      at: 0,
      status: undefined,
    };
    jobs.set(seq, change);
  }
  return change;
}

function applyEvent(db: Database, event: Event, change: JobChange, rows: NewRows): void {
  const { kind } = event;
  switch (kind?.$case) {
    case "jobStarted":
      change.status = { is: "in_progress", since: event.at };
      break;
    case "taskCompleted":
      change.completed++;
      change.bytes += kind.value.bytes;
      rows.completed.push(completedRow(event, kind.value));
      break;
    case "taskFailed":
      change.failed++;
      insertFailed(db, event, kind.value);
      break;
    case "taskCancelled":
      change.cancelled++;
      insertCancelled(db, event, kind.value);
      break;
    case "taskReplayed":
      change.failed--;
      change.status = { is: "in_progress", since: event.at };
      db.query<never, [number]>("DELETE FROM results WHERE task = ?").run(kind.value.task);
      break;
    case "jobFinished":
      change.status = { is: kind.value.status as JobStatus, since: event.at };
      break;
  }
}

function insertJob(db: Database, { kind, job, at }: Event): void {
  if (kind?.$case !== "jobAccepted") return;
  const { value } = kind;
  db.query<never, [number, string, string, string, string, string, string, number, number, number, number, number]>(
    `INSERT INTO jobs (seq, job_id, job_type, tenant, priority, trace_id, manifest_url, status, total, first_task,
       last_task, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)`,
  ).run(
    job,
    value.jobId,
    value.jobType,
    value.tenant,
    value.priority,
    value.traceId,
    value.manifestUrl,
    value.total,
    value.firstTask,
    value.lastTask,
    at,
    at,
  );
  if (value.idempotencyKey !== "") {
    db.query<never, [string, string, number, number]>(
      "INSERT OR REPLACE INTO idempotency (tenant, key, job, created_at) VALUES (?, ?, ?, ?)",
    ).run(value.tenant, value.idempotencyKey, job, at);
  }
}

function completedRow({ job, at }: Event, result: TaskCompleted): SQLValue[] {
  return [
    result.task,
    job,
    result.resourceId,
    result.url,
    result.finalUrl,
    result.attempts,
    result.httpStatus,
    result.bytes,
    result.integrity === "size" ? "verified" : result.integrity,
    result.integrity === "size" ? 1 : 0,
    result.sha256,
    result.etag,
    result.contentType,
    result.contentEncoding ?? null,
    result.storageUrl,
    result.startedAt,
    at,
    result.history === undefined ? null : AttemptHistory.encode(result.history).finish(),
  ];
}

function insertFailed(db: Database, { job, at }: Event, failed: TaskFailed): void {
  const history = failed.letter?.history;
  db.query<
    never,
    [number, number, string, string, number, number | null, string, string, number, number, Uint8Array | null]
  >(
    `INSERT INTO results (task, job, state, resource_id, url, attempts, http_status, error_code,
       error_message, started_at, finished_at, history) VALUES (?, ?, 'failed', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    failed.task,
    job,
    failed.letter?.task?.resourceId ?? "",
    publicUrl(failed.letter?.task?.url ?? ""),
    failed.attempts,
    history?.attempts.at(-1)?.httpStatus || null,
    failed.code,
    failed.message,
    failed.startedAt,
    at,
    history === undefined ? null : AttemptHistory.encode(history).finish(),
  );
}

function insertCancelled(db: Database, { job, at }: Event, { task, ...cancelled }: TaskCancelled): void {
  const latest = cancelled.history?.attempts.at(-1);
  db.query<never, [number, number, string, string, number, number | null, number | null, number, Uint8Array | null]>(
    `INSERT INTO results (task, job, state, resource_id, url, attempts, http_status, started_at, finished_at, history)
     VALUES (?, ?, 'cancelled', ?, ?, ?, ?, ?, ?, ?)`,
  ).run(
    task,
    job,
    cancelled.resourceId,
    cancelled.url,
    cancelled.attempts,
    latest?.httpStatus || null,
    latest?.startedAt ?? null,
    at,
    cancelled.history === undefined ? null : AttemptHistory.encode(cancelled.history).finish(),
  );
}

function appendLogs(event: Event, change: JobChange, rows: NewRows): void {
  for (const entry of logEntriesOf(event)) {
    rows.logs.push([
      event.job,
      change.logCount++,
      event.at,
      entry.level,
      entry.message,
      entry.resourceId ?? null,
      JSON.stringify(entry.fields),
    ]);
  }
}

/** False if the counters could not be right; they have been recounted then. */
function updateJob(db: Database, seq: number, change: JobChange): boolean {
  db.query<never, [number, number, number]>(
    "UPDATE jobs SET log_count = ?, has_logs = 1, updated_at = ? WHERE seq = ?",
  ).run(change.logCount, change.at, seq);
  const counted = db
    .query<never, [number, number, number, number, number]>(
      `UPDATE OR IGNORE jobs SET completed = completed + ?, failed = failed + ?, cancelled = cancelled + ?,
         bytes = bytes + ? WHERE seq = ?`,
    )
    .run(change.completed, change.failed, change.cancelled, change.bytes, seq).changes;
  const recounted = counted > 0 ? 0 : db.query<never, [number]>(RECOUNT_JOB).run(seq).changes;
  if (change.status !== undefined) writeStatus(db, seq, change.status);
  return recounted === 0;
}

/** Recounts a job from its results. */
const RECOUNT_JOB = `UPDATE jobs SET (completed, failed, cancelled, bytes) = (
    SELECT count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'failed'),
      count(*) FILTER (WHERE state = 'cancelled'), coalesce(sum(bytes), 0)
    FROM results r WHERE r.task BETWEEN jobs.first_task AND jobs.last_task AND r.job = jobs.seq)
  WHERE seq = ?`;

function writeStatus(db: Database, seq: number, { is: status, since }: NonNullable<JobChange["status"]>): void {
  const completedAt = status === "in_progress" ? null : since;
  db.query<never, [string, number | null, number]>("UPDATE jobs SET status = ?, completed_at = ? WHERE seq = ?").run(
    status,
    completedAt,
    seq,
  );
}
