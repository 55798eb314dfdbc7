/**
 * The reason why a task failed. The class alone decides the next step (worker/retry.ts); the code names the reason to
 * an operator. A failure is made once, where it occurs; no other code reads messages.
 */
export const FAILURE_CLASSES = {
  DOWNLOAD_TIMEOUT: "transient",
  DOWNLOAD_CONNECT_FAILED: "transient",
  DOWNLOAD_RESET: "transient",
  DOWNLOAD_TRUNCATED: "transient",
  DOWNLOAD_TOO_SLOW: "transient",
  DOWNLOAD_PROTOCOL_ERROR: "transient",
  DOWNLOAD_DNS_TEMPORARY: "transient",
  PROXY_EXHAUSTED: "transient",

  DOWNLOAD_HOST_UNAVAILABLE: "throttled",

  UPLOAD_UNAVAILABLE: "unavailable",
  UPLOAD_TIMEOUT: "unavailable",
  UPLOAD_THROTTLED: "unavailable",
  UPLOAD_ACCESS_DENIED: "unavailable",
  UPLOAD_NO_SUCH_BUCKET: "unavailable",
  UPLOAD_DISK_FULL: "unavailable",

  UPLOAD_REJECTED: "rejected",
  UPLOAD_CORRUPT: "rejected",

  DOWNLOAD_DNS_NOT_FOUND: "permanent",
  DOWNLOAD_TLS_INVALID: "permanent",
  DOWNLOAD_TOO_LARGE: "permanent",
  DOWNLOAD_HEADERS_TOO_LARGE: "permanent",
  DOWNLOAD_TOO_MANY_REDIRECTS: "permanent",
  DOWNLOAD_URL_NOT_ALLOWED: "permanent",
  DOWNLOAD_CONTENT_TYPE_MISMATCH: "permanent",
  HANDLER_ERROR: "permanent",
  STORAGE_KEY_CONFLICT: "permanent",
  TASK_INTERRUPTED: "permanent",

  /** Looks like a damaged transfer from outside: it is retried once, then it is permanent. */
  DOWNLOAD_CHECKSUM_MISMATCH: "mismatch",
  DOWNLOAD_SIZE_MISMATCH: "mismatch",
} as const;

export type FailureClass = "transient" | "throttled" | "unavailable" | "rejected" | "permanent" | "mismatch";
export type NamedFailureCode = keyof typeof FAILURE_CLASSES;
type HttpFailureCode = `DOWNLOAD_HTTP_${number}`;
export type FailureCode = NamedFailureCode | HttpFailureCode;

export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly class: FailureClass;
  /** How long the host asked us to stay away, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  readonly httpStatus: number | undefined;
  /** The first bytes of an unwanted body, as they were served, in hex. */
  readonly bodyStart: string | undefined;
  /**
   * A refusal by the storage that names neither: it may concern this object alone, or its bucket. The bucket's other
   * uploads show which.
   */
  readonly mayConcernObject: boolean;

  constructor(
    code: FailureCode,
    message: string,
    more: {
      retryAfterMs?: number | undefined;
      httpStatus?: number | undefined;
      bodyStart?: string | undefined;
      mayConcernObject?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.retryAfterMs = more.retryAfterMs;
    this.httpStatus = more.httpStatus;
    this.bodyStart = more.bodyStart;
    this.mayConcernObject = more.mayConcernObject ?? false;
    this.class = classOf(code, more.retryAfterMs !== undefined);
  }
}

/** The first bytes of an unwanted body that are kept: never the whole body. */
export const BODY_START_BYTES = 512;
const ABOUT_THE_BODY: readonly FailureCode[] = [
  "DOWNLOAD_CHECKSUM_MISMATCH",
  "DOWNLOAD_SIZE_MISMATCH",
  "DOWNLOAD_CONTENT_TYPE_MISMATCH",
];

/** Whether the first bytes of the body help to understand the failure. */
export function isAboutTheBody({ code }: Failure): boolean {
  return ABOUT_THE_BODY.includes(code);
}

/** The same failure, with the first bytes of the body, if it has any. */
export function withBodyStart(failure: Failure, start: Uint8Array): Failure {
  if (start.length === 0) return failure;
  const { code, message, retryAfterMs, httpStatus, cause } = failure;
  const bodyStart = Buffer.from(start.subarray(0, BODY_START_BYTES)).toString("hex");
  return new Failure(code, message, { retryAfterMs, httpStatus, bodyStart, cause });
}

/** The class of a code. A 503 is the host's wish to be left alone only where it names a time. */
export function classOf(code: FailureCode, hasRetryAfter = false): FailureClass {
  if (code in FAILURE_CLASSES) return FAILURE_CLASSES[code as NamedFailureCode];
  const status = Number(code.slice("DOWNLOAD_HTTP_".length));
  if (status === 429 || (status === 503 && hasRetryAfter)) return "throttled";
  if (status === 408 || (status >= 500 && status <= 599)) return "transient";
  return "permanent";
}

/** An answer whose status is no answer to our request. */
export function httpFailure(status: number, retryAfterMs?: number): Failure {
  return new Failure(`DOWNLOAD_HTTP_${status}`, `the origin answered ${status}`, { httpStatus: status, retryAfterMs });
}
