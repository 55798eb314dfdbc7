import { HttpError } from "../../../http/http-error.ts";
import { Failure, type NamedFailureCode } from "../../../jobs/failure.ts";
import { textOf } from "./xml.ts";

const BY_S3_CODE: Readonly<Record<string, NamedFailureCode>> = {
  AccessDenied: "UPLOAD_ACCESS_DENIED",
  AllAccessDisabled: "UPLOAD_ACCESS_DENIED",
  AccountProblem: "UPLOAD_ACCESS_DENIED",
  ExpiredToken: "UPLOAD_ACCESS_DENIED",
  InvalidAccessKeyId: "UPLOAD_ACCESS_DENIED",
  InvalidToken: "UPLOAD_ACCESS_DENIED",
  RequestTimeTooSkewed: "UPLOAD_ACCESS_DENIED",
  SignatureDoesNotMatch: "UPLOAD_ACCESS_DENIED",
  NoSuchBucket: "UPLOAD_NO_SUCH_BUCKET",
  RequestTimeout: "UPLOAD_TIMEOUT",
  RequestLimitExceeded: "UPLOAD_THROTTLED",
  ServiceUnavailable: "UPLOAD_THROTTLED",
  SlowDown: "UPLOAD_THROTTLED",
  Throttling: "UPLOAD_THROTTLED",
  TooManyRequests: "UPLOAD_THROTTLED",
  InsufficientStorage: "UPLOAD_DISK_FULL",
  QuotaExceeded: "UPLOAD_DISK_FULL",
  XMinioStorageFull: "UPLOAD_DISK_FULL",
  // These concern the bucket or the account, which the status alone does not show.
  AuthorizationHeaderMalformed: "UPLOAD_UNAVAILABLE",
  IllegalLocationConstraintException: "UPLOAD_UNAVAILABLE",
  InvalidBucketName: "UPLOAD_UNAVAILABLE",
  InvalidSecurity: "UPLOAD_ACCESS_DENIED",
  NotSignedUp: "UPLOAD_ACCESS_DENIED",
  // The received bytes are not the sent ones.
  BadDigest: "UPLOAD_CORRUPT",
  XAmzContentChecksumMismatch: "UPLOAD_CORRUPT",
  XAmzContentSHA256Mismatch: "UPLOAD_CORRUPT",
};

/** Refusals that name neither the object nor the bucket: a prefix may be closed, or everything. */
const UNCLEAR: ReadonlySet<string> = new Set(["", "AccessDenied", "AllAccessDisabled"]);

/** A proxy in front of S3 refuses the object for its size or name. */
const OBJECTS_STATUSES: ReadonlySet<number> = new Set([413, 414, 431]);

const BY_STATUS: Readonly<Record<number, NamedFailureCode>> = {
  401: "UPLOAD_ACCESS_DENIED",
  403: "UPLOAD_ACCESS_DENIED",
  408: "UPLOAD_TIMEOUT",
  429: "UPLOAD_THROTTLED",
  503: "UPLOAD_THROTTLED",
  507: "UPLOAD_DISK_FULL",
};

/** Codes of a server that has the bucket in another region; "" where the answer has no body. */
const WRONG_REGION: ReadonlySet<string> = new Set([
  "",
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "PermanentRedirect",
  "TemporaryRedirect",
]);

const HINTS: Readonly<Record<string, string>> = {
  AccessDenied: "give these credentials the right to do this",
  AuthorizationHeaderMalformed: "check storage.region",
  ExpiredToken: "renew the session token",
  InvalidAccessKeyId: "check the access key id",
  NoSuchBucket: "create the bucket or correct its name",
  NotImplemented: "the service lacks this; storage.headers, or the manifest's tags or class, may ask for it",
  PermanentRedirect: "check storage.endpoint and storage.region",
  RequestTimeTooSkewed: "set this machine's clock",
  SignatureDoesNotMatch: "check the secret access key",
};

interface FailureFacts {
  readonly s3Code?: string;
  readonly status?: number;
  readonly cause?: unknown;
  /** Default: by the code and the status. */
  readonly mayConcernObject?: boolean;
}

/** A failure with S3's code, which decides whether to try again and whether the request may have taken effect. */
export class S3Failure extends Failure {
  /** Error code of S3; empty without an answer, or without a body in it. */
  readonly s3Code: string;

  constructor(code: NamedFailureCode, message: string, more: FailureFacts) {
    const { cause, status, mayConcernObject = isUnclear(code, more) } = more;
    super(code, message, { cause, httpStatus: status, mayConcernObject });
    this.s3Code = more.s3Code ?? "";
  }

  /** True where the request may have taken effect all the same. */
  get isUncertain(): boolean {
    if (this.code === "UPLOAD_CORRUPT" || this.code === "UPLOAD_REJECTED") return false;
    return this.httpStatus === undefined || this.httpStatus >= 500;
  }

  /** True where the same request may well succeed in a moment. */
  get isPassing(): boolean {
    if (this.code === "UPLOAD_CORRUPT") return true;
    // A service that was silent for that time will hardly be faster at once; the bucket rests, and is probed.
    if (this.httpStatus === undefined) return this.code !== "UPLOAD_TIMEOUT";
    return this.httpStatus >= 500 ? this.httpStatus !== 501 && this.httpStatus !== 507 : this.httpStatus === 429;
  }
}

/** Whether a refusal may concern the object or the bucket: it names neither, or it is not S3's. */
function isUnclear(code: NamedFailureCode, { s3Code = "", status = 0 }: FailureFacts): boolean {
  if (status === 403) return code === "UPLOAD_ACCESS_DENIED" && UNCLEAR.has(s3Code);
  return code === "UPLOAD_UNAVAILABLE" && s3Code === "" && status >= 400 && status <= 499;
}

/** The request, for messages. */
interface Asked {
  readonly method: string;
  readonly bucket: string;
}

/**
 * The failure code of an answer. An unlisted 4xx of S3 concerns the object alone, and so does a 501, for example of a
 * server without tags. A 4xx without a code comes from a server in front of S3, for example from a proxy that has lost
 * the service.
 */
function codeOf(s3Code: string, status: number): NamedFailureCode {
  if (s3Code.startsWith("KMS.")) return "UPLOAD_ACCESS_DENIED"; // the key of the bucket, or of the configuration
  const listed = BY_S3_CODE[s3Code] ?? BY_STATUS[status];
  if (listed !== undefined) return listed;
  if (OBJECTS_STATUSES.has(status)) return "UPLOAD_REJECTED";
  const isRefusal = (status >= 400 && status <= 499) || status === 501;
  return s3Code !== "" && isRefusal ? "UPLOAD_REJECTED" : "UPLOAD_UNAVAILABLE";
}

/** The code of S3 in the XML of a refusal; empty where it has no code. */
export function s3CodeIn(body: string): string {
  return /^[\w.]{1,64}$/.exec(textOf(body, "Code") ?? "")?.[0] ?? "";
}

/**
 * The remedy for a refusal. `region` is the bucket's region by the answer's head, where the request was signed for
 * another one.
 */
export function hintFor(method: string, status: number, body: string, region?: string): string | undefined {
  const s3Code = s3CodeIn(body);
  if (WRONG_REGION.has(s3Code) && (s3Code !== "" || status < 403)) {
    const named = /^[A-Za-z0-9-]{1,64}$/.exec(region ?? textOf(body, "Region") ?? "")?.[0];
    if (named !== undefined) return `the bucket is in the region ${named}: set storage.region = "${named}"`;
  }
  if (s3Code === "" && method !== "HEAD" && status < 500) {
    return "an answer that is not S3's: check storage.endpoint, and any proxy in front of the service";
  }
  return HINTS[s3Code];
}

/** The failure for a refusal. Of its XML in `body` only the code is used, since the rest may hold signatures. */
export function refusal({ method, bucket }: Asked, status: number, body: string, region?: string): S3Failure {
  const s3Code = s3CodeIn(body);
  const hint = hintFor(method, status, body, region);
  const message = `S3 answered ${method} in bucket ${bucket} with ${s3Code === "" ? "" : `${s3Code}, `}status ${status}`;
  const code = codeOf(s3Code, status);
  return new S3Failure(code, hint === undefined ? message : `${message}: ${hint}`, { s3Code, status });
}

/** No answer in time. */
export function timedOut({ method, bucket }: Asked, ms: number): S3Failure {
  return new S3Failure("UPLOAD_TIMEOUT", `S3 made no progress with ${method} in bucket ${bucket} for ${ms} ms`, {});
}

/** No answer at all: refused, reset, no such host, TLS. */
export function unreachable({ method, bucket }: Asked, host: string, cause: unknown): S3Failure {
  const message = `S3 at ${host} gave no answer to ${method} in bucket ${bucket}: ${wordsOf(cause)}`;
  return new S3Failure("UPLOAD_UNAVAILABLE", message, { cause });
}

/** A success before the server can have had the body: it tells nothing, as a cut connection. */
export function early({ method, bucket }: Asked, status: number): S3Failure {
  const message = `S3 answered ${method} in bucket ${bucket} with status ${status} before it had the body`;
  return new S3Failure("UPLOAD_UNAVAILABLE", message, { mayConcernObject: true });
}

function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause instanceof HttpError || !("code" in cause) ? cause.message : String(cause.code);
}

/** Whether the storage holds other bytes than were sent. A copy that it refused for that reason is not stored. */
export function isCorruptCopy(error: unknown): boolean {
  return error instanceof S3Failure && error.code === "UPLOAD_CORRUPT" && error.httpStatus === undefined;
}
