import type { Clock } from "../jobs/clock.ts";
import { Failure, isAboutTheBody, withBodyStart } from "../jobs/failure.ts";
import { isHtml, MEDIA_TYPE_LENGTH_MAX, matchesMediaType } from "../jobs/media-type.ts";
import type { ObjectStore, OpenUpload, StoredObject, Upload } from "../jobs/object-store.ts";
import type { ClaimedTask, Integrity, Task } from "../jobs/task.ts";
import { Body } from "./body.ts";
import { BodyWatch } from "./body-watch.ts";
import { Checksum } from "./checksum.ts";
import { InterruptedError } from "./interrupted.ts";
import type { QuickHosts } from "./quick-hosts.ts";
import { type AttemptTrace, discardBody } from "./request.ts";
import { isCut, PROGRESS_BYTES_MIN, type Reopen, rangeHeaders, restOf, strongValidator } from "./resume.ts";
import { endsByClose } from "./until-close.ts";

export interface TransferDeps {
  readonly store: ObjectStore;
  /** Remembers an upload durably before its first byte goes out. */
  readonly recordUpload: (claimed: ClaimedTask, upload: OpenUpload) => Promise<void>;
  readonly maxBytes: number;
  readonly idleTimeoutMs: number;
  /** Slower downloads are given up; 0 = never. */
  readonly minBytesPerSecond: number;
  readonly quickHosts: QuickHosts;
  readonly clock: Clock;
}

export interface Transferred extends StoredObject {
  readonly integrity: Integrity;
  readonly sha256: string;
  readonly contentType: string;
}

/** A body up to this size is held in memory, verified, and stored in one go. */
const BUFFERED_BYTES_MAX = 2 ** 20;
/** A body up to this size is taken in one piece, where its host is known to be quick. */
const ONE_PIECE_BYTES_MAX = 256 * 1024;
/** Of a larger one so much is looked at before its upload begins. */
const LOOKED_AT_BYTES = 16 * 1024;
const FALLBACK_TYPE = "application/octet-stream";
const HTML_START = /^\s*(?:<!doctype html|<html)/i;

/**
 * Stores an answer's body as it is served, and makes it visible only when it is whole and what was asked for (D5).
 * @throws Failure, or the signal's reason; then nothing of it is visible
 */
export async function transfer(
  response: Response,
  claimed: ClaimedTask,
  trace: AttemptTrace,
  stop: AbortController,
  deps: TransferDeps,
  reopen: Reopen,
): Promise<Transferred> {
  const { signal } = stop;
  const declared = declaredBytes(response);
  const contentType = storableType(response);
  const integrity = integrityOf(response, claimed.task);
  const watch = new BodyWatch(deps.clock, deps, (failure) => stop.abort(failure));
  const body = new Body(response, declared, trace, signal, watch);
  const checksum = new Checksum(claimed.task.checksum);
  let upload: Upload | undefined;
  let start: Uint8Array | undefined;
  try {
    checkHead(response, claimed.task, declared, deps.maxBytes);
    start = await readStart(body, claimed, deps);
    checkLength(body.bytes, claimed.task, deps.maxBytes);
    sniffHtml(start, claimed.task);
    watch.pause(); // a slow storage is no silence of the host
    const options = { contentType, labels: { job: claimed.job.jobId, task: String(claimed.id) }, signal };
    if (body.ended) {
      checksum.update(start);
      const sha256 = verify(claimed.task, body.bytes, checksum);
      return { ...(await deps.store.put(claimed.task, start, { ...options, sha256 })), sha256, contentType, integrity };
    }
    upload = await deps.store.open(claimed.task, {
      ...options,
      ...(declared !== undefined && { size: declared }),
      onOpen: (open) => record(open, claimed, deps),
    });
    const next = resuming(body, response.headers, watch, reopen, signal);
    for (let chunk: Uint8Array | undefined = start; chunk !== undefined; chunk = await next()) {
      checkLength(body.bytes, claimed.task, deps.maxBytes);
      checksum.update(chunk);
      watch.pause();
      await upload.write(chunk);
      watch.resume();
    }
    watch.stop(); // the host has done its part
    const sha256 = verify(claimed.task, body.bytes, checksum);
    return { ...(await upload.commit()), sha256, contentType, integrity };
  } catch (error) {
    await upload?.abort();
    throw await withEvidence(error, start, body);
  } finally {
    watch.stop();
    body.close();
  }
}

/**
 * All of a body that is to be held in memory, or how a larger one begins.
 * @throws InterruptedError where one was taken unwatched and did not come: the task is put back, and watched
 */
async function readStart(body: Body, { host, id }: ClaimedTask, deps: TransferDeps): Promise<Uint8Array> {
  const { declared } = body;
  if (declared === undefined || declared > ONE_PIECE_BYTES_MAX) {
    return body.upTo((declared ?? 0) > BUFFERED_BYTES_MAX ? LOOKED_AT_BYTES : BUFFERED_BYTES_MAX);
  }
  const { quickHosts, clock, minBytesPerSecond } = deps;
  const isUnwatched = minBytesPerSecond === 0 && quickHosts.trusts(host, id);
  const begun = clock.monotonic();
  try {
    const start = isUnwatched ? await body.whole() : await body.upTo(ONE_PIECE_BYTES_MAX);
    quickHosts.came(host, clock.monotonic() - begun);
    return start;
  } catch (error) {
    if (!isUnwatched || !(error instanceof Failure)) {
      quickHosts.failed(host);
      throw error;
    }
    // Slow, perhaps, and never silent: neither an attempt nor the host's name is to suffer for what nobody saw.
    quickHosts.doubt(host, id);
    throw new InterruptedError("doubt");
  }
}

/**
 * Reads on, by another connection where one is cut, as long as each brings something: into the same upload and the same
 * digest. What cannot go on is the failure that it was.
 */
function resuming(
  body: Body,
  headers: Headers,
  watch: BodyWatch,
  reopen: Reopen,
  signal: AbortSignal,
): () => Promise<Uint8Array | undefined> {
  const validator = strongValidator(headers);
  let begunAt = 0;
  return async function next(): Promise<Uint8Array | undefined> {
    try {
      return await body.next();
    } catch (error) {
      if (validator === undefined || !isCut(error) || body.bytes - begunAt < PROGRESS_BYTES_MIN) throw error;
      begunAt = body.bytes;
      const point = { validator, offset: body.bytes, total: body.declared };
      watch.pause();
      const rest = await reopen(rangeHeaders(point)).catch(() => undefined);
      signal.throwIfAborted();
      const total = rest === undefined ? undefined : restOf(rest, point);
      if (rest === undefined || total === undefined) {
        if (rest !== undefined) discardBody(rest);
        throw error;
      }
      body.continueWith(rest, total);
      watch.resume();
      return next();
    }
  };
}

/** What did not fit is easier to understand by how it began: a login page, an error message, another file. */
async function withEvidence(error: unknown, start: Uint8Array | undefined, body: Body): Promise<unknown> {
  if (!(error instanceof Failure) || !isAboutTheBody(error)) return error;
  const seen = start ?? (await body.next().catch(() => undefined));
  return seen === undefined ? error : withBodyStart(error, seen);
}

/** A queue that cannot be written to is our side's trouble, and no failure of the task. */
async function record(upload: OpenUpload, claimed: ClaimedTask, deps: TransferDeps): Promise<void> {
  try {
    await deps.recordUpload(claimed, upload);
  } catch (cause) {
    throw new Failure("UPLOAD_UNAVAILABLE", "the upload could not be recorded in queue.db, so it was not begun", {
      cause,
    });
  }
}

/** What the answer says it is, unless no storage could carry that: a storage must not stumble over a host's words. */
function storableType(response: Response): string {
  const type = (response.headers.get("content-type") ?? "").replaceAll(/\s+/g, " ").trim();
  return type.length <= MEDIA_TYPE_LENGTH_MAX && /^[\x20-\x7e]+$/.test(type) ? type : FALLBACK_TYPE;
}

function declaredBytes(response: Response): number | undefined {
  // A transfer coding delimits the body, whatever a length beside it says (RFC 9112, 6.3).
  if (response.headers.has("transfer-encoding")) return undefined;
  const length = response.headers.get("content-length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

function checkHead(response: Response, task: Task, declared: number | undefined, maxBytes: number): void {
  if (declared !== undefined && declared > maxBytes) throw tooLarge(maxBytes, declared);
  if (declared !== undefined && task.size !== undefined && declared !== task.size) throw wrongSize(declared, task.size);
  const type = response.headers.get("content-type") ?? undefined;
  if (task.contentType !== undefined && !matchesMediaType(task.contentType, type)) {
    const served = type === undefined ? "does not say what it is" : `is ${type.slice(0, 100)}`;
    throw wrongType(`the answer ${served}, the manifest says ${task.contentType}`);
  }
  if (task.rejectHtml === true && isHtml(type)) throw wrongType("the answer is HTML, which the manifest refuses");
}

/** A page that was not wanted may come under any name. */
function sniffHtml(start: Uint8Array, task: Task): void {
  if (task.rejectHtml !== true) return;
  if (HTML_START.test(new TextDecoder().decode(start.subarray(0, 512)))) {
    throw wrongType("the answer looks like HTML, which the manifest refuses");
  }
}

/** Stops a body as soon as it cannot be right any more. */
function checkLength(bytes: number, task: Task, maxBytes: number): void {
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  if (task.size !== undefined && bytes > task.size) throw wrongSize(`more than ${task.size}`, task.size);
}

/** Whether anything but the end of the connection says that the body is whole. */
function integrityOf(response: Response, task: Task): Integrity {
  const isTold = task.checksum !== undefined || task.size !== undefined;
  return endsByClose(response.headers) && !isTold ? "unverified" : "verified";
}

function verify(task: Task, bytes: number, checksum: Checksum): string {
  if (task.size !== undefined && bytes !== task.size) throw wrongSize(bytes, task.size);
  return checksum.verify();
}

function tooLarge(maxBytes: number, declared?: number): Failure {
  const what = declared === undefined ? "the body is" : `the answer declares ${declared} bytes,`;
  return new Failure("DOWNLOAD_TOO_LARGE", `${what} over the limit of ${maxBytes} bytes`);
}

function wrongSize(actual: number | string, expected: number): Failure {
  return new Failure("DOWNLOAD_SIZE_MISMATCH", `the body has ${actual} bytes, the manifest says ${expected}`);
}

function wrongType(message: string): Failure {
  return new Failure("DOWNLOAD_CONTENT_TYPE_MISMATCH", message);
}
