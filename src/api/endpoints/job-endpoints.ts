import { setImmediate } from "node:timers/promises";
import { isFinished, JOB_STATUSES } from "../../jobs/job.ts";
import type { JobRecord, LedgerReads } from "../../jobs/stores/ledger-reads.ts";
import type { CancelOutcome } from "../../operations/cancellation.ts";
import type { JobSpeed } from "../../telemetry/rates/job-rates.ts";
import { cursorParameter, formatCursor, pageOf } from "../http/cursor.ts";
import { ApiError } from "../http/errors.ts";
import { isoTime, isoTimeOrNull } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { choice, idempotencyKeyParameter, integer, mapped, nameParameter, text, time } from "../http/parameters.ts";
import { JOB_EXAMPLE } from "../openapi/schema-examples.ts";
import { type JobSnapshot, SNAPSHOT_ERRORS_MAX } from "../openapi/schemas.ts";
import { type Endpoint, withQuery } from "./endpoint.ts";

/** Most failures on a page of up to 1000 jobs. */
const ERRORS_PER_PAGE_MAX = 1000;
/** This many snapshots take some milliseconds; then the event loop handles other requests. */
const JOBS_PER_TURN = 100;
const ID_PREFIX_PATTERN = /^[0-9a-fA-F]{8}[0-9a-fA-F-]{0,28}$/;
const ID_PREFIX = mapped(
  text(
    ID_PREFIX_PATTERN,
    "must be the first 8 or more hexadecimal digits of a job id",
    "Only jobs whose ids start with these characters: 8 or more hexadecimal digits, with or without the hyphens.",
    "019ab2f4-7c1e",
  ),
  idPrefix,
);

/** The start of a job id with its hyphens in lower case. */
function idPrefix(prefix: string): string {
  const digits = prefix.toLowerCase().replaceAll("-", "");
  const groups = [
    digits.slice(0, 8),
    digits.slice(8, 12),
    digits.slice(12, 16),
    digits.slice(16, 20),
    digits.slice(20),
  ];
  return groups.filter((group) => group !== "").join("-");
}

export const LIST_LIMIT = { minimum: 1, maximum: 1000, fallback: 100 };

/** The job of a path in its current state. @throws ApiError JOB_NOT_FOUND */
export async function jobOf(ledger: LedgerReads, params: Readonly<Record<string, string>>): Promise<JobRecord> {
  await ledger.bringUpToDate();
  return lastKnownJobOf(ledger, params);
}

/** The job of a path in its state of a moment ago, while it runs: cheap enough for clients that poll. */
async function lastKnownJobOf(ledger: LedgerReads, params: Readonly<Record<string, string>>): Promise<JobRecord> {
  const job = await ledger.findJob((params.job_id ?? "").toLowerCase());
  if (job === undefined) throw new ApiError("JOB_NOT_FOUND");
  return job;
}

export interface JobEndpointsDeps {
  readonly ledger: LedgerReads;
  readonly cancel: (jobId: string) => Promise<CancelOutcome>;
  /** The speed of a job that runs, given by its number; `undefined` if none of its tasks ended lately. */
  readonly speedOf: (job: number) => JobSpeed | undefined;
}

export function jobEndpoints(deps: JobEndpointsDeps): Endpoint[] {
  return [listJobs(deps), readJob(deps), cancelJob(deps)];
}

function cancelJob(deps: JobEndpointsDeps): Endpoint {
  const { ledger, cancel } = deps;
  return {
    method: "POST",
    path: "/operators/jobs/:job_id/cancel",
    access: "operator",
    doc: {
      tag: "Jobs",
      summary: "Cancel a job",
      description:
        "Stored objects stay. Running downloads are aborted and leave no object, and waiting tasks do not start. The " +
        "job becomes terminal as soon as all its tasks have ended.",
      answers: { 202: { description: "The current state of the job.", schema: "Job", example: JOB_EXAMPLE } },
      errors: ["JOB_NOT_FOUND", "JOB_FINISHED", "DISK_FULL"],
    },
    answer: async ({ params, recordActivity }) => {
      const { jobId } = await jobOf(ledger, params);
      const outcome = await cancel(jobId);
      if (outcome === "ended") throw new ApiError("JOB_FINISHED");
      if (outcome === "new") recordActivity({ action: "cancel", target: jobId, count: 1 });
      return json(await snapshotOf(deps, await jobOf(ledger, params)), { status: 202 });
    },
  };
}

function listJobs(deps: JobEndpointsDeps): Endpoint {
  const { ledger } = deps;
  return withQuery({
    method: "GET",
    path: "/operators/jobs",
    access: "jobs",
    doc: {
      tag: "Jobs",
      summary: "List jobs",
      description:
        `Lists the jobs, the last accepted first. A page has at most ${ERRORS_PER_PAGE_MAX} \`errors\` in total, ` +
        "those of its first jobs. `errors_truncated` is true for a job whose errors are left out.",
      answers: {
        200: { description: "A page of jobs.", schema: "JobList", example: { jobs: [JOB_EXAMPLE], next_cursor: null } },
      },
    },
    query: {
      status: choice(JOB_STATUSES, "Only jobs with this status."),
      job_type: nameParameter("Only jobs of this type.", "default"),
      tenant: nameParameter("Only jobs of this tenant.", "default"),
      idempotency_key: idempotencyKeyParameter(
        "Only jobs that were submitted with this key, at most one per tenant. " +
          "A key is kept for `ledger.retention_days_idempotency`, 14 days by default.",
      ),
      since: time("Only jobs that were accepted at this time or later."),
      until: time("Only jobs that were accepted before this time."),
      id_prefix: ID_PREFIX,
      errors: integer(
        { minimum: 0, maximum: SNAPSHOT_ERRORS_MAX, fallback: SNAPSHOT_ERRORS_MAX },
        "Maximum number of `errors` of each job.",
      ),
      limit: integer(LIST_LIMIT, "Maximum number of jobs on the page."),
      cursor: cursorParameter("jobs"),
    },
    answer: async (_call, { limit, cursor, errors, ...given }) => {
      const { status, job_type: jobType, tenant, idempotency_key: idempotencyKey, since, until, id_prefix } = given;
      const filter = { status, jobType, tenant, idempotencyKey, since, until, idPrefix: id_prefix };
      await ledger.bringUpToDate();
      const rows = await ledger.listJobs(filter, cursor ?? Number.MAX_SAFE_INTEGER, limit + 1);
      const { page, next_cursor } = pageOf(rows, limit, (job) => formatCursor("jobs", job.seq));
      const jobs: JobSnapshot[] = [];
      let errorsLeft = ERRORS_PER_PAGE_MAX;
      for (const job of page) {
        const snapshot = await snapshotOf(deps, job, Math.min(errors, errorsLeft));
        errorsLeft -= snapshot.errors.length;
        jobs.push(snapshot);
        if (jobs.length % JOBS_PER_TURN === 0) await setImmediate();
      }
      return json({ jobs, next_cursor });
    },
  });
}

function readJob(deps: JobEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/jobs/:job_id",
    access: "jobs",
    doc: {
      tag: "Jobs",
      summary: "Read a job",
      description: "Poll this endpoint to follow a job; it is cheap. `completed_at` is set once the job is terminal.",
      answers: { 200: { description: "The current state of the job.", schema: "Job", example: JOB_EXAMPLE } },
      errors: ["JOB_NOT_FOUND"],
    },
    answer: async ({ params }) => json(await snapshotOf(deps, await lastKnownJobOf(deps.ledger, params))),
  };
}

async function snapshotOf(
  { ledger, speedOf }: JobEndpointsDeps,
  job: JobRecord,
  errorsMax = SNAPSHOT_ERRORS_MAX,
): Promise<JobSnapshot> {
  // A task that failed since the job was read must not show as an error that the job does not count.
  const limit = Math.min(job.failed, errorsMax);
  const failures = limit === 0 ? [] : await ledger.failures(job, limit);
  return {
    job_id: job.jobId,
    job_type: job.jobType,
    tenant: job.tenant,
    priority: job.priority,
    trace_id: job.traceId,
    status: job.status,
    resource_total: job.total,
    resource_completed: job.completed,
    resource_failed: job.failed,
    resource_cancelled: job.cancelled,
    bytes_stored: job.bytes,
    manifest_key: job.manifestUrl,
    created_at: isoTime(job.createdAt),
    updated_at: isoTime(job.updatedAt),
    completed_at: isoTimeOrNull(job.completedAt),
    ...progressOf(job, isFinished(job.status) ? undefined : speedOf(job.seq)),
    log_count: job.logCount,
    errors: failures.map((failure) => ({
      resource_id: failure.resourceId,
      code: failure.errorCode ?? "",
      message: failure.errorMessage ?? "",
      attempts: failure.attempts,
      timestamp: isoTime(failure.finishedAt),
    })),
    errors_truncated: job.failed > failures.length,
  };
}

/** The speed of a job, and the time that it still takes at that speed. */
function progressOf(
  { total, completed, failed, cancelled }: JobRecord,
  speed: JobSpeed | undefined,
): Pick<JobSnapshot, "rate" | "eta_seconds"> {
  if (speed === undefined) return { rate: null, eta_seconds: null };
  const left = Math.max(0, total - completed - failed - cancelled);
  return { rate: Math.round(speed.stored * 10) / 10, eta_seconds: Math.ceil(left / speed.ended) };
}
