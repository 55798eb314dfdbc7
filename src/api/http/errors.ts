import { IntakeError, type IntakeErrorCode, VIOLATIONS_MAX, type Violation } from "../../intake/intake-error.ts";
import { isBroken, isBusy, isDiskFull, StoreError } from "../../jobs/stores/store-error.ts";
import { json } from "./json-response.ts";

interface ErrorEntry {
  readonly status: number;
  readonly message: string;
  /** Default of `Retry-After`. */
  readonly retryAfterSeconds?: number;
}

/** Every error code of the API, with its status and default message. Endpoints throw; only `errorResponse` renders. */
export const ERRORS = {
  INVALID_PAYLOAD: { status: 400, message: "the request is invalid; details lists the violations" },
  UNAUTHORIZED: { status: 401, message: "the request needs a bearer token" },
  FORBIDDEN: { status: 403, message: "the token's role, the name in Host or the page's origin does not allow this" },
  UNSUPPORTED_JOB_TYPE: { status: 403, message: "no handler is configured for this job type" },
  NOT_FOUND: { status: 404, message: "no endpoint or operation has this path; /swagger lists the endpoints" },
  JOB_NOT_FOUND: { status: 404, message: "the job does not exist, or its retention has passed" },
  DLQ_ENTRY_NOT_FOUND: { status: 404, message: "the dead letter does not exist" },
  METHOD_NOT_ALLOWED: { status: 405, message: "the path does not support this method; Allow lists the supported ones" },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    message: "an earlier submission with this idempotency key is still being processed; try again later",
    retryAfterSeconds: 1,
  },
  JOB_FINISHED: { status: 409, message: "the job has already ended and cannot be cancelled" },
  PAYLOAD_TOO_LARGE: { status: 413, message: "the body is too large" },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: "the body must be application/json, uncompressed or gzip" },
  IDEMPOTENCY_KEY_REUSED: { status: 422, message: "this idempotency key was already used with another payload" },
  QUEUE_FULL: { status: 429, message: "the queue is full; try again later", retryAfterSeconds: 10 },
  RATE_LIMITED: { status: 429, message: "too many requests; try again later", retryAfterSeconds: 1 },
  HANDLER_ERROR: { status: 500, message: "the job's handler failed" },
  INTERNAL_ERROR: {
    status: 500,
    message: "an internal error occurred; the service's log has details under request_id",
  },
  STORAGE_UNAVAILABLE: {
    status: 503,
    message: "the storage or a store cannot be used at the moment; try again later",
    retryAfterSeconds: 10,
  },
  SHUTTING_DOWN: { status: 503, message: "the service is shutting down", retryAfterSeconds: 10 },
  NOT_READY: { status: 503, message: "the service does not accept jobs at the moment", retryAfterSeconds: 5 },
  DISK_FULL: { status: 507, message: "the service's disk is full" },
} as const satisfies Record<IntakeErrorCode, ErrorEntry> & Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

interface ErrorMore {
  readonly message?: string;
  readonly details?: readonly Violation[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/** An error answer. Message and details are served as they are, so they must not contain secrets. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: readonly Violation[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, more: ErrorMore = {}) {
    super(more.message ?? ERRORS[code].message, more.cause === undefined ? undefined : { cause: more.cause });
    const entry: ErrorEntry = ERRORS[code];
    const retryAfterSeconds = more.retryAfterSeconds ?? entry.retryAfterSeconds;
    this.code = code;
    this.status = entry.status;
    this.details = more.details?.slice(0, VIOLATIONS_MAX) ?? [];
    this.headers = {
      ...(retryAfterSeconds !== undefined && { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
      ...more.headers,
    };
  }
}

/** The answer to any error. The answer to an unexpected error reveals no detail. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (isDiskFull(error)) return new ApiError("DISK_FULL", { cause: error });
  if (isBusy(error)) {
    const message = "another program holds a lock on a store; try again in a moment";
    return new ApiError("STORAGE_UNAVAILABLE", { message, retryAfterSeconds: 1, cause: error });
  }
  if (isBroken(error) || error instanceof StoreError) return storeBroken(error);
  if (!(error instanceof IntakeError)) return new ApiError("INTERNAL_ERROR", { cause: error });
  const { message, details = [] } = error;
  // The rest of such a body may still arrive, and the service does not read it.
  const headers = error.code === "PAYLOAD_TOO_LARGE" ? { connection: "close" } : {};
  return new ApiError(error.code, { message, details, headers, cause: error });
}

/** The answer after a failed commit: its outcome is unknown, so the process ends and recovers at its next start. */
export function storeBroken(cause: unknown): ApiError {
  const message =
    "a store failed and the service stops; the request may have taken effect: repeat it with the same idempotency key";
  return new ApiError("STORAGE_UNAVAILABLE", { message, cause });
}

/** The one shape of errors. */
export function errorResponse({ code, status, message, details, headers }: ApiError, requestId: string): Response {
  return json({ code, message, request_id: requestId, details }, { status, headers });
}
