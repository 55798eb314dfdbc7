/** The error codes of a submission. The API maps each to a status. */
export type IntakeErrorCode =
  | "INVALID_PAYLOAD"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "UNSUPPORTED_JOB_TYPE"
  | "IDEMPOTENCY_IN_PROGRESS"
  | "IDEMPOTENCY_KEY_REUSED"
  | "PAYLOAD_TOO_LARGE"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "QUEUE_FULL"
  | "RATE_LIMITED"
  | "HANDLER_ERROR"
  | "INTERNAL_ERROR"
  | "STORAGE_UNAVAILABLE"
  | "SHUTTING_DOWN"
  | "DISK_FULL";

/** One violation of a rule: its place as a JSON pointer (RFC 6901), and the rule. */
export interface Violation {
  readonly path: string;
  readonly message: string;
}

/** Most violations in one answer. */
export const VIOLATIONS_MAX = 20;

/** A refused submission. Message and details are served as they are, so they must not contain secrets. */
export class IntakeError extends Error {
  override readonly name = "IntakeError";
  readonly code: IntakeErrorCode;
  readonly details: readonly Violation[] | undefined;

  constructor(code: IntakeErrorCode, message: string, more: { details?: readonly Violation[]; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.details = more.details?.slice(0, VIOLATIONS_MAX);
  }
}
