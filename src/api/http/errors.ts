import { IntakeError, type IntakeErrorCode, VIOLATIONS_MAX, type Violation } from "../../intake/intake-error.ts";
import { isBroken, isBusy, isDiskFull, StoreError } from "../../jobs/stores/store-error.ts";
import { json } from "./json-response.ts";

interface ErrorEntry {
  readonly status: number;
  readonly message: string;
  /** When to come back, where nobody says better. */
  readonly retryAfterSeconds?: number;
}

/** Every code that an answer can carry, with its status. Routes throw; `errorResponse` alone renders. */
export const ERRORS = {
  INVALID_PAYLOAD: { status: 400, message: "the request breaks a rule; details say which" },
  UNAUTHORIZED: { status: 401, message: "a bearer token is needed" },
  FORBIDDEN: { status: 403, message: "the token's role does not allow this" },
  UNSUPPORTED_JOB_TYPE: { status: 403, message: "no handler of that name is configured" },
  NOT_FOUND: { status: 404, message: "there is nothing at this path; /swagger lists what there is" },
  JOB_NOT_FOUND: { status: 404, message: "there is no such job, or it is past its retention" },
  DLQ_ENTRY_NOT_FOUND: { status: 404, message: "there is no such dead letter" },
  METHOD_NOT_ALLOWED: { status: 405, message: "this path does not take the method; Allow lists those that it takes" },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    message: "a submission under this idempotency key is still being processed",
    retryAfterSeconds: 1,
  },
  JOB_FINISHED: { status: 409, message: "the job has ended; there is nothing left to cancel" },
  PAYLOAD_TOO_LARGE: { status: 413, message: "the body is too large" },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: "the body must be application/json, plain or gzip" },
  IDEMPOTENCY_KEY_REUSED: { status: 422, message: "this idempotency key was used with another payload" },
  QUEUE_FULL: { status: 429, message: "the queue is full; come back later", retryAfterSeconds: 10 },
  RATE_LIMITED: { status: 429, message: "too many requests", retryAfterSeconds: 1 },
  HANDLER_ERROR: { status: 500, message: "the job's handler failed" },
  INTERNAL_ERROR: { status: 500, message: "something went wrong here; the log has it under request_id" },
  STORAGE_UNAVAILABLE: {
    status: 503,
    message: "the storage or a store cannot be used at the moment",
    retryAfterSeconds: 10,
  },
  SHUTTING_DOWN: { status: 503, message: "the service is shutting down", retryAfterSeconds: 10 },
  NOT_READY: { status: 503, message: "the service takes no jobs at the moment", retryAfterSeconds: 5 },
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

/** An answer other than the good one. Message and details are served as they are: no secrets in them. */
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

/** What is thrown, as it is answered: what nobody foresaw says nothing of itself. */
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
  // The rest of such a body is on its way still; nobody will read it.
  const headers = error.code === "PAYLOAD_TOO_LARGE" ? { connection: "close" } : {};
  return new ApiError(error.code, { message, details, headers, cause: error });
}

/** Nobody knows what is on the disk: the process ends, and its next start tells. */
export function storeBroken(cause: unknown): ApiError {
  const message =
    "a store is broken and the service ends; what was asked may have been done, ask again under the same key";
  return new ApiError("STORAGE_UNAVAILABLE", { message, cause });
}

/** The one shape of errors. */
export function errorResponse({ code, status, message, details, headers }: ApiError, requestId: string): Response {
  return json({ code, message, request_id: requestId, details }, { status, headers });
}
