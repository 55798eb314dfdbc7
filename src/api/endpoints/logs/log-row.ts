import type { JobRecord, LogRecord } from "../../../jobs/stores/ledger-reads.ts";
import { isoTime } from "../../http/iso-time.ts";
import type { LogPage } from "../../openapi/schemas.ts";

/** A row of a job's log in the shape of the API. */
export function logRow(job: JobRecord, row: LogRecord): LogPage["logs"][number] {
  return {
    offset: row.offset,
    timestamp: isoTime(row.at),
    level: row.level,
    message: row.message,
    resource_id: row.resourceId,
    trace_id: job.traceId,
    // The ledger writes only JSON objects there.
    fields: JSON.parse(row.fields) as Record<string, unknown>,
  };
}
