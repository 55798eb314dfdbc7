import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import { isoTime } from "../http/iso-time.ts";
import type { OperationRow } from "../openapi/schemas.ts";

/** An operation in the shape of the API, without the overrides, which may contain secrets. */
export function operationRow(operation: BulkOperation): OperationRow {
  const { code, host, jobId, jobType, tenant, since, until } = operation.filter;
  return {
    operation_id: operation.id,
    kind: operation.kind,
    status: operation.state,
    filter: {
      ...(code !== undefined && { code }),
      ...(host !== undefined && { host }),
      ...(jobId !== undefined && { job_id: jobId }),
      ...(jobType !== undefined && { job_type: jobType }),
      ...(tenant !== undefined && { tenant }),
      ...(since !== undefined && { since: isoTime(since) }),
      ...(until !== undefined && { until: isoTime(until) }),
    },
    rate_per_second: operation.ratePerSecond ?? null,
    matched: operation.matched,
    met: operation.processed,
    changed: operation.changed,
    started_at: isoTime(operation.startedAt),
    finished_at: operation.finishedAt === null ? null : isoTime(operation.finishedAt),
    error: operation.error,
  };
}
