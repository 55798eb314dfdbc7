import type { Violation } from "../../intake/intake-error.ts";
import type { Submission } from "../../intake/submission.ts";
import { parseTraceparent } from "../../net/trace-context.ts";
import { ApiError } from "../http/errors.ts";
import { idempotencyKeyParameter, nameParameter, type Parameters } from "../http/parameters.ts";

const HEADERS = {
  "X-Fetchbox-Job-Type": nameParameter(
    "Job type: the name of the configured handler that expands the manifest. Default: `default`.",
    "default",
  ),
  "X-Fetchbox-Tenant": nameParameter("Tenant that the job is submitted for. Default: `default`.", "default"),
  "X-Fetchbox-Idempotency-Key": idempotencyKeyParameter(
    "Makes repeats safe: a second submission of the same tenant, job type and body with this key gets the first " +
      "answer. It must have 1 to 255 visible ASCII characters.",
  ),
  "Idempotency-Key": idempotencyKeyParameter("Another name for `X-Fetchbox-Idempotency-Key`."),
};

/** The headers of `POST /jobs`, for the OpenAPI document. */
export const SUBMISSION_HEADERS: Parameters = {
  ...HEADERS,
  "Content-Encoding": {
    schema: { type: "string", enum: ["identity", "gzip"] },
    description: "Compression of the body. Default: `identity`. The size limit applies to the decompressed body.",
    parse: (text) => text,
  },
  traceparent: {
    schema: { type: "string" },
    description: "W3C trace context that the job joins. A malformed value is ignored, and a new trace starts.",
    example: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    parse: parseTraceparent,
  },
};

/**
 * Reads the headers of a submission.
 * @throws ApiError INVALID_PAYLOAD with every violation
 */
export function readSubmissionHeaders(headers: Headers): Omit<Submission, "body" | "trace"> {
  const violations: Violation[] = [];
  const read = (name: keyof typeof HEADERS): string | undefined => {
    try {
      return HEADERS[name].parse(headers.get(name) ?? undefined);
    } catch (error) {
      violations.push({ path: `/headers/${name}`, message: error instanceof Error ? error.message : "is malformed" });
      return undefined;
    }
  };
  const jobType = read("X-Fetchbox-Job-Type") ?? "default";
  const tenant = read("X-Fetchbox-Tenant") ?? "default";
  const ownKey = read("X-Fetchbox-Idempotency-Key");
  const standardKey = read("Idempotency-Key");
  if (ownKey !== undefined && standardKey !== undefined && ownKey !== standardKey) {
    violations.push({ path: "/headers/Idempotency-Key", message: "must be the same as X-Fetchbox-Idempotency-Key" });
  }
  if (violations.length > 0) {
    throw new ApiError("INVALID_PAYLOAD", { message: "the headers are invalid", details: violations });
  }
  const idempotencyKey = ownKey ?? standardKey;
  return {
    jobType,
    tenant,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}
