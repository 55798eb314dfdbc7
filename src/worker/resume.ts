import { Failure } from "../jobs/failure.ts";

/** What must be true of a download that broke for it to go on where it stopped (RFC 9110, 13.1.5 and 14). */
export interface ResumePoint {
  /** Proves that the rest is the rest of the same: a strong entity tag, or a time that is as good. */
  readonly validator: string;
  /** Bytes that came. */
  readonly offset: number;
  /** Of the whole body; unknown where the first answer did not say. */
  readonly total: number | undefined;
}

/** Sends the request anew, from the original URL on, with more headers. */
export type Reopen = (headers: Readonly<Record<string, string>>) => Promise<Response>;

/** A connection that brings less than this was not worth it: the next try is a retry of its own. */
export const PROGRESS_BYTES_MIN = 64 * 1024;

/** A date is as good as a strong tag if it was a minute old by the server's own clock (RFC 9110, 8.8.2.2). */
const SETTLED_MS = 60_000;

/** What tells one version of the entity from another, byte for byte; nothing if the answer has no such thing. */
export function strongValidator(headers: Headers): string | undefined {
  if (headers.get("accept-ranges")?.trim().toLowerCase() === "none") return undefined;
  const etag = headers.get("etag")?.trim();
  if (etag !== undefined) return /^"[^"]*"$/.test(etag) ? etag : undefined;
  const modified = headers.get("last-modified");
  const served = headers.get("date");
  if (modified === null || served === null) return undefined;
  return Date.parse(served) - Date.parse(modified) >= SETTLED_MS ? modified : undefined;
}

/** Whether another connection may help: the one that broke was cut, and not refused. */
export function isCut(error: unknown): boolean {
  return error instanceof Failure && (error.code === "DOWNLOAD_TRUNCATED" || error.code === "DOWNLOAD_RESET");
}

export function rangeHeaders({ offset, validator }: ResumePoint): Record<string, string> {
  return { Range: `bytes=${offset}-`, "If-Range": validator };
}

/**
 * The size of the whole body, if an answer is just the rest of it; else nothing: another version is served whole, and
 * a server may send what it was not asked for.
 */
export function restOf(response: Response, { offset, total, validator }: ResumePoint): number | undefined {
  if (response.status !== 206) return undefined;
  const etag = response.headers.get("etag");
  if (etag !== null && validator.startsWith('"') && etag !== validator) return undefined;
  const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  if (Number(first) !== offset || Number(last) !== Number(size) - 1) return undefined;
  return total === undefined || total === Number(size) ? Number(size) : undefined;
}
