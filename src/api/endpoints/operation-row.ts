import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter } from "../../jobs/stores/dead-letter-reads.ts";
import { isoTime } from "../http/iso-time.ts";
import type { OperationRow } from "../openapi/schemas.ts";

/** An operation in the shape of the API, without the overrides, which may contain secrets. */
export function operationRow(operation: BulkOperation): OperationRow {
  return {
    operation_id: operation.id,
    kind: operation.kind,
    status: operation.state,
    filter: filterRow(operation.filter),
    rate_per_second: operation.ratePerSecond ?? null,
    matched: operation.matched,
    met: operation.processed,
    changed: operation.changed,
    started_at: isoTime(operation.startedAt),
    started_by: operation.startedBy,
    finished_at: operation.finishedAt === null ? null : isoTime(operation.finishedAt),
    error: operation.error,
  };
}

/** A filter in one line, for people: `code=DOWNLOAD_HTTP_403 host=img.example.com`. */
export function filterText(filter: DeadLetterFilter): string {
  const parts = Object.entries(filterRow(filter)).map(([name, value]) => `${name}=${value}`);
  return parts.length === 0 ? "all dead letters" : parts.join(" ");
}

function filterRow({ code, host, jobId, jobType, tenant, since, until }: DeadLetterFilter): OperationRow["filter"] {
  return {
    ...(code !== undefined && { code }),
    ...(host !== undefined && { host }),
    ...(jobId !== undefined && { job_id: jobId }),
    ...(jobType !== undefined && { job_type: jobType }),
    ...(tenant !== undefined && { tenant }),
    ...(since !== undefined && { since: isoTime(since) }),
    ...(until !== undefined && { until: isoTime(until) }),
  };
}
