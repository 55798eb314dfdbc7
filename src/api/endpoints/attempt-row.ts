import type { AttemptRecord } from "../../jobs/task.ts";
import { publicUrl } from "../../net/public-url.ts";
import { isoTime } from "../http/iso-time.ts";
import type { AttemptRow } from "../openapi/schemas.ts";

/** One attempt in the shape of the API. */
export function attemptRow(attempt: AttemptRecord): AttemptRow {
  return {
    started_at: isoTime(attempt.startedAt),
    duration_ms: attempt.durationMs,
    code: attempt.code,
    message: attempt.message,
    http_status: attempt.httpStatus ?? null,
    address: attempt.address ?? null,
    proxy: attempt.proxy === undefined ? null : publicUrl(attempt.proxy),
    bytes: attempt.bytes,
    body_start: attempt.bodyStart ?? null,
  };
}
