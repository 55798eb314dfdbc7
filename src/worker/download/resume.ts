import type { HeaderFields } from "../../http/message/header-fields.ts";
import { Failure } from "../../jobs/failure.ts";
import { retryAfterMs } from "../../net/retry-after.ts";
import { isTransferCoded } from "./codings.ts";

/** A download that broke, and could be resumed (RFC 9110, sections 13.1.5 and 14). */
export interface ResumePoint {
  /** The head of the first answer, which the rest must agree with. */
  readonly first: HeaderFields;
  /** Its `resumeValidator`. */
  readonly validator: string;
  /** Bytes that came. */
  readonly offset: number;
  /** Bytes of the whole body; `undefined` if the first answer does not declare them. */
  readonly total: number | undefined;
}

/** Sends the request again from the original URL, with more headers. */
export type Reopen<R> = (headers: Readonly<Record<string, string>>) => Promise<R>;

/**
 * The answer to a request for the rest:
 *
 * | kind | meaning |
 * |---|---|
 * | `rest` | exactly the missing bytes of the same version; `total` is the size of the whole body |
 * | `refused` | 429 or 503: the host wants to be left alone, and may say for how long |
 * | `unusable` | another version, another range, or no proof that it is the same; `reason` is for the log |
 */
export type Reopened =
  | { readonly kind: "rest"; readonly total: number }
  | { readonly kind: "refused"; readonly status: 429 | 503; readonly retryAfterMs: number | undefined }
  | { readonly kind: "unusable"; readonly reason: string };

/** A connection that brings less is not worth another one: the next try is a retry of the task. */
export const PROGRESS_BYTES_MIN = 64 * 1024;

/** A date is strong if it was a minute old by the server's own clock (RFC 9110, section 8.8.2.2). */
const SETTLED_MS = 60_000;
/** An empty tag says nothing, though some servers send it with everything. */
const STRONG_ETAG = /^"[^"]+"$/;

/**
 * The value for `If-Range`: the strong entity tag of an answer, or its `Last-Modified` if it has no tag at all and the
 * date is strong. `undefined` if the answer cannot be resumed.
 */
export function resumeValidator(first: HeaderFields): string | undefined {
  if (fieldOf(first, "accept-ranges")?.toLowerCase() === "none") return undefined;
  // What came are coded bytes, and a range counts those of the body itself.
  if (isTransferCoded(first)) return undefined;
  const etag = fieldOf(first, "etag");
  if (etag !== undefined) return STRONG_ETAG.test(etag) ? etag : undefined;
  return isDateStrong(first) ? fieldOf(first, "last-modified") : undefined;
}

/** True if another connection may help: the broken one was cut, not refused. */
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
  if (isTransferCoded(headers)) return { kind: "unusable", reason: "a transfer coding that nobody asked for" };
  const total = totalOf(headers, point);
  if (total === undefined) return { kind: "unusable", reason: "not the range that was asked for" };
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
  // A transfer coding delimits the part, and a length beside it means nothing (RFC 9112, section 6.3).
  const length = headers.has("transfer-encoding") ? undefined : fieldOf(headers, "content-length");
  return length === undefined || Number(length) === size - offset ? size : undefined;
}

/** The name of a field in which two answers contradict each other. */
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

/** A field's value, once where several lines say the same; different ones are joined and match nothing sensible. */
function fieldOf(headers: HeaderFields, name: string): string | undefined {
  const values = new Set(headers.all(name));
  return values.size === 0 ? undefined : [...values].join(", ");
}

function mediaTypeOf(headers: HeaderFields): string | undefined {
  return fieldOf(headers, "content-type")?.split(";", 1)[0]?.trim().toLowerCase();
}

/** The codings of a body in their order, without `identity`; also what `contentCodings` takes for none, to compare. */
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
