import type { HeaderFields } from "../../http/message/header-fields.ts";
import { Failure } from "../../jobs/failure.ts";
import { retryAfterMs } from "../../net/retry-after.ts";
import { isTransferCoded } from "./codings.ts";

/** The state of a broken download that may be resumed (RFC 9110, sections 13.1.5 and 14). */
interface ResumePoint {
  /** The head of the first answer; the rest must agree with it. */
  readonly first: HeaderFields;
  /** Its `resumeValidator`. */
  readonly validator: string;
  /** Bytes received. */
  readonly offset: number;
  /** Bytes of the whole body; `undefined` if the first answer does not declare them. */
  readonly total: number | undefined;
}

/** Sends the request again, from the original URL, with more headers. */
export type Reopen<R> = (headers: Readonly<Record<string, string>>) => Promise<R>;

/**
 * The answer to a request for the rest:
 *
 * | kind | meaning |
 * |---|---|
 * | `rest` | exactly the missing bytes of the same version; `total` is the size of the whole body |
 * | `refused` | 429 or 503: the host asks for a pause, perhaps with its length |
 * | `unusable` | another version, another range, or no proof that it is the same; `reason` is for the log |
 */
type Reopened =
  | { readonly kind: "rest"; readonly total: number }
  | { readonly kind: "refused"; readonly status: 429 | 503; readonly retryAfterMs: number | undefined }
  | { readonly kind: "unusable"; readonly reason: string };

/** The least progress of a connection: after less, the next try is a retry of the task. */
export const PROGRESS_BYTES_MIN = 64 * 1024;

/** A date is strong if it is a minute old by the server's own clock (RFC 9110, section 8.8.2.2). */
const SETTLED_MS = 60_000;
/** An empty tag identifies no version, though some servers send it with every answer. */
const STRONG_ETAG = /^"[^"]+"$/;

/**
 * The value for `If-Range`: the strong entity tag of an answer, or its `Last-Modified` if it has no tag at all and the
 * date is strong. `undefined` if the answer cannot be resumed.
 */
export function resumeValidator(first: HeaderFields): string | undefined {
  if (fieldOf(first, "accept-ranges")?.toLowerCase() === "none") return undefined;
  // The received bytes are coded, but a range counts the bytes of the body itself.
  if (isTransferCoded(first)) return undefined;
  const etag = fieldOf(first, "etag");
  if (etag !== undefined) return STRONG_ETAG.test(etag) ? etag : undefined;
  return isDateStrong(first) ? fieldOf(first, "last-modified") : undefined;
}

/** True if another connection may help: the broken one was cut off and not refused. */
export function isCut(error: unknown): boolean {
  return error instanceof Failure && (error.code === "DOWNLOAD_TRUNCATED" || error.code === "DOWNLOAD_RESET");
}

export function rangeHeaders({ offset, validator }: ResumePoint): Record<string, string> {
  return { Range: `bytes=${offset}-`, "If-Range": validator };
}

/**
 * Judges the answer to a request with `rangeHeaders`. Many servers serve a range without knowing `If-Range`, so the
 * answer counts as the rest only if it proves it:
 *
 * - it has status 206, no transfer coding but chunks, and one `Content-Range`, from the offset to the last byte of the
 *   declared size;
 * - both answers have the same strong `ETag`, or the same `Last-Modified`, strong by the first answer;
 * - every `ETag`, `Last-Modified`, `Content-Type`, and digest of the whole body (`Repr-Digest`, `Digest`) that both
 *   answers have is the same, and so is the `Content-Encoding`, where absence means `identity`.
 *
 * `Content-MD5` and `Content-Digest` are not compared: in a 206 they are about the part.
 */
export function judgeRest(
  { status, headers }: { readonly status: number; readonly headers: HeaderFields },
  point: ResumePoint,
  now: number,
): Reopened {
  if (status === 429 || status === 503) {
    return { kind: "refused", status, retryAfterMs: retryAfterMs(headers.get("retry-after") ?? null, now) };
  }
  if (status !== 206) return { kind: "unusable", reason: `status ${status}` };
  if (isTransferCoded(headers)) return { kind: "unusable", reason: "an unrequested transfer coding" };
  const total = totalOf(headers, point);
  if (total === undefined) return { kind: "unusable", reason: "not the requested range" };
  const field = disagreement(point.first, headers);
  if (field !== undefined) return { kind: "unusable", reason: `another ${field} than in the first answer` };
  if (!haveSameStrongValidator(point.first, headers))
    return { kind: "unusable", reason: "no strong validator in both" };
  return { kind: "rest", total };
}

/** The size of the whole body by an answer that is its rest; `undefined` if the answer is another part. */
function totalOf(headers: HeaderFields, { offset, total }: ResumePoint): number | undefined {
  const range = /^bytes +(\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(fieldOf(headers, "content-range") ?? "");
  if (range === null || mediaTypeOf(headers) === "multipart/byteranges") return undefined;
  const [first, last, size] = range.slice(1).map(Number);
  if (size === undefined || first !== offset || last !== size - 1 || last < first) return undefined;
  if (total !== undefined && total !== size) return undefined;
  // Beside a transfer coding, which delimits the part, a length is to be ignored (RFC 9112, section 6.3).
  const length = headers.has("transfer-encoding") ? undefined : fieldOf(headers, "content-length");
  return length === undefined || Number(length) === size - offset ? size : undefined;
}

/** The name of a field in which the two answers differ. */
function disagreement(first: HeaderFields, rest: HeaderFields): string | undefined {
  if (codingsOf(first) !== codingsOf(rest)) return "Content-Encoding";
  for (const name of ["ETag", "Last-Modified", "Content-Type"]) {
    const [one, other] = [first, rest].map((headers) => fieldOf(headers, name.toLowerCase()));
    if (one !== undefined && other !== undefined && one !== other) return name;
  }
  return ["Repr-Digest", "Digest"].find((name) => {
    const known = digestsOf(first, name.toLowerCase());
    return [...digestsOf(rest, name.toLowerCase())].some(([algorithm, value]) => {
      return (known.get(algorithm) ?? value) !== value;
    });
  });
}

function haveSameStrongValidator(first: HeaderFields, rest: HeaderFields): boolean {
  const etag = fieldOf(first, "etag");
  if (etag !== undefined && STRONG_ETAG.test(etag) && fieldOf(rest, "etag") === etag) return true;
  return isDateStrong(first) && fieldOf(first, "last-modified") === fieldOf(rest, "last-modified");
}

function isDateStrong(headers: HeaderFields): boolean {
  const modified = Date.parse(fieldOf(headers, "last-modified") ?? "");
  return Date.parse(fieldOf(headers, "date") ?? "") - modified >= SETTLED_MS;
}

/** A field's value; equal lines count once. Different lines are joined, so that they match no valid value. */
function fieldOf(headers: HeaderFields, name: string): string | undefined {
  const values = new Set(headers.all(name));
  return values.size === 0 ? undefined : [...values].join(", ");
}

function mediaTypeOf(headers: HeaderFields): string | undefined {
  return fieldOf(headers, "content-type")?.split(";", 1)[0]?.trim().toLowerCase();
}

/** The codings of a body in their order, without `identity`. They are for comparison, so invalid ones count, too. */
function codingsOf(headers: HeaderFields): string {
  const codings = (headers.get("content-encoding") ?? "").toLowerCase().split(",");
  return codings
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity")
    .join();
}

/** The digests of a field by their algorithms (RFC 9530, RFC 3230). */
function digestsOf(headers: HeaderFields, name: string): Map<string, string> {
  const digests = (headers.get(name) ?? "").split(",").map((digest) => /^\s*([^=\s]+)=(.*?)\s*$/.exec(digest));
  return new Map(digests.flatMap((match) => (match === null ? [] : [[match[1]?.toLowerCase() ?? "", match[2] ?? ""]])));
}
