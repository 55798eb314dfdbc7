import type { Violation } from "../../intake/intake-error.ts";
import type { Submission } from "../../intake/submission.ts";
import { parseTraceparent } from "../../net/trace-context.ts";
import { ApiError } from "../http/errors.ts";
import { idempotencyKeyParameter, nameParameter, type Parameters } from "../http/parameters.ts";

const HEADERS = {
  "X-Fetchbox-Job-Type": nameParameter("The handler that takes the job; `default` if absent.", "default"),
  "X-Fetchbox-Tenant": nameParameter("On whose behalf; `default` if absent.", "default"),
  "X-Fetchbox-Idempotency-Key": idempotencyKeyParameter(
    "A submission under a key that its tenant has used gets the answer of the first one.",
  ),
  "Idempotency-Key": idempotencyKeyParameter("The same as `X-Fetchbox-Idempotency-Key`."),
};

/** The headers of `POST /jobs` (contract, section 1), for the document. */
export const SUBMISSION_HEADERS: Parameters = {
  ...HEADERS,
  "Content-Encoding": {
    schema: { type: "string", enum: ["identity", "gzip"] },
    description: "How the body is compressed; `identity` if absent.",
    parse: (text) => text,
  },
  traceparent: {
    schema: { type: "string" },
    description: "W3C trace context that the job joins; a malformed one is ignored.",
    example: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    parse: parseTraceparent,
  },
};

/**
 * What the headers of a submission say.
 * @throws ApiError INVALID_PAYLOAD with every breach.
 */
export function readSubmissionHeaders(headers: Headers): Omit<Submission, "body" | "trace"> {
  const breaches: Violation[] = [];
  const read = (name: keyof typeof HEADERS): string | undefined => {
    try {
      return HEADERS[name].parse(headers.get(name) ?? undefined);
    } catch (error) {
      breaches.push({ path: `/headers/${name}`, message: error instanceof Error ? error.message : "is malformed" });
      return undefined;
    }
  };
  const jobType = read("X-Fetchbox-Job-Type") ?? "default";
  const tenant = read("X-Fetchbox-Tenant") ?? "default";
  const ownKey = read("X-Fetchbox-Idempotency-Key");
  const standardKey = read("Idempotency-Key");
  if (ownKey !== undefined && standardKey !== undefined && ownKey !== standardKey) {
    breaches.push({ path: "/headers/Idempotency-Key", message: "must be the same as X-Fetchbox-Idempotency-Key" });
  }
  if (breaches.length > 0) {
    throw new ApiError("INVALID_PAYLOAD", { message: "the headers break a rule", details: breaches });
  }
  const idempotencyKey = ownKey ?? standardKey;
  return {
    jobType,
    tenant,
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}
