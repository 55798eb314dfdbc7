import { SNAPSHOT_ERRORS_MAX } from "../api/openapi/schemas.ts";
import type { JobReport } from "../intake/handlers/handler.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { JobHeader, JobStatus } from "../jobs/job.ts";
import type { LedgerReads } from "../jobs/stores/ledger-reads.ts";
import type { Log } from "../telemetry/log.ts";

interface FinalizeDeps {
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  readonly ledger: LedgerReads;
  readonly log: Log;
}

/**
 * A listener that calls `finalize` of a job's handler when the job has ended. An error there is logged and has no other
 * effect.
 */
export function createFinalize(deps: FinalizeDeps): (job: JobHeader, status: JobStatus) => void {
  return (job, status) => {
    finalize(job, status, deps).catch((error: unknown) => {
      deps.log.warn({ job_id: job.jobId, trace_id: job.traceId, err: error }, "the handler's finalize failed");
    });
  };
}

async function finalize(job: JobHeader, status: JobStatus, { handlers, ledger }: FinalizeDeps): Promise<void> {
  const handler = handlers.get(job.jobType)?.handler;
  if (handler?.finalize === undefined) return;
  const report = await reportOf(job, status, ledger);
  if (report !== undefined) await handler.finalize(report);
}

async function reportOf(job: JobHeader, status: JobStatus, ledger: LedgerReads): Promise<JobReport | undefined> {
  const record = await ledger.findJob(job.jobId);
  if (record === undefined) return undefined;
  const { total, completed, failed, cancelled } = record;
  const failures = await ledger.failures(record, SNAPSHOT_ERRORS_MAX);
  return {
    job,
    status,
    counters: { total, completed, failed, cancelled },
    bytesStored: record.bytes,
    completedAt: record.completedAt ?? record.updatedAt,
    errors: failures.map((failure) => ({
      resourceId: failure.resourceId,
      code: failure.errorCode ?? "",
      message: failure.errorMessage ?? "",
      attempts: failure.attempts,
    })),
  };
}
