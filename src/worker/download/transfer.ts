import type { HttpResponse } from "../../http/connection.ts";
import type { HeaderFields } from "../../http/message/header-fields.ts";
import { BODY_START_BYTES, Failure, httpFailure, isAboutTheBody, withBodyStart } from "../../jobs/failure.ts";
import type { ObjectStore, OpenUpload, StoredObject, Upload } from "../../jobs/object-store.ts";
import type { ClaimedTask, Integrity, Task } from "../../jobs/task.ts";
import { isHtml, MEDIA_TYPE_LENGTH_MAX, matchesMediaType } from "../../net/media-type.ts";
import type { Clock } from "../../std/clock.ts";
import { numbered } from "../../std/counted.ts";
import type { KeyGuard } from "../../storage/key-guard.ts";
import type { Attempt } from "../attempt.ts";
import { BodyWatch } from "./body-watch.ts";
import { Checksum } from "./checksum.ts";
import { storedCodings } from "./codings.ts";
import { Body, declaredBytes, withStartOf } from "./download-body.ts";
import { isCut, judgeRest, PROGRESS_BYTES_MIN, type Reopen, rangeHeaders, resumeValidator } from "./resume.ts";

export interface TransferDeps {
  readonly store: ObjectStore;
  /** Records an upload durably, before its first byte is sent. */
  readonly recordUpload: (claimed: ClaimedTask, upload: OpenUpload) => Promise<void>;
  /** The name of an attempt's upload; `undefined` where the storage never stores late. */
  readonly tokenOf: (claimed: ClaimedTask) => string | undefined;
  /** Keeps the removal of orphans away from keys that attempts write. */
  readonly keys: KeyGuard;
  readonly maxBytes: number;
  readonly idleTimeoutMs: number;
  /** Slower downloads fail; 0 = no limit. */
  readonly minBytesPerSecond: number;
  readonly clock: Clock;
}

interface Transferred extends StoredObject {
  readonly integrity: Integrity;
  readonly sha256: string;
  readonly contentType: string;
  readonly contentEncoding: string | undefined;
}

/** A body up to this size is held in memory, verified, and stored by one request. */
const BUFFERED_BYTES_MAX = 2 ** 20;
/** Of a larger body, this much is examined before its upload starts. */
const LOOKED_AT_BYTES = 16 * 1024;
/** An attempt holds its key twice: until it ends, and until it is settled. */
const OWN_HOLDERS = 2;
const FALLBACK_TYPE = "application/octet-stream";
const HTML_START = /^\s*(?:<!doctype html|<html)/i;

/**
 * Stores an answer's body as it is served. The object becomes visible only when it is whole and meets the manifest.
 * @throws Failure, or the signal's reason; then no part of the body is visible
 */
export async function transfer(
  response: HttpResponse,
  attempt: Attempt,
  reopen: Reopen<HttpResponse>,
  deps: TransferDeps,
): Promise<Transferred> {
  const { claimed, signal } = attempt;
  const declared = declaredBytes(response);
  const contentType = storableType(response);
  const integrity = integrityOf(response, claimed.task);
  const watch = new BodyWatch(deps.clock, deps, (failure) => attempt.abort(failure));
  const body = new Body(response, attempt, watch);
  const checksum = new Checksum(claimed.task.checksum);
  let upload: Upload | undefined;
  let start: Uint8Array | undefined;
  try {
    checkHead(response, claimed.task, declared, deps.maxBytes);
    start = await body.upTo((declared ?? 0) > BUFFERED_BYTES_MAX ? LOOKED_AT_BYTES : BUFFERED_BYTES_MAX);
    checkLength(body.bytes, claimed.task, deps.maxBytes);
    sniffHtml(start, claimed.task);
    watch.pause(); // a slow storage must not count as a silence of the host
    const contentEncoding = storedCodings(response.headers);
    const removal = deps.keys.quiet(claimed.task, signal);
    if (removal !== undefined) await removal;
    const { onClosed, ...tracking } = attempt.track(deps.tokenOf(claimed));
    const options = { ...ownersOf(claimed), contentType, contentEncoding, signal, ...tracking };
    if (body.ended) {
      checkSize(claimed.task, body.bytes);
      const sha256 = await checksum.verifyWhole(start);
      signal.throwIfAborted();
      const stored = await deps.store.put(claimed.task, start, { ...options, sha256 });
      return { ...stored, sha256, contentType, contentEncoding, integrity: weaker(integrity, stored) };
    }
    let sha256 = "";
    upload = await deps.store.open(claimed.task, {
      ...options,
      sha256: () => sha256,
      isRepeated: claimed.attempts > 0,
      ...(declared !== undefined && { size: declared }),
      onOpen: (open) => record(open, claimed, deps),
      onClosed,
      alone: (work) => deps.keys.remove(claimed.task, work, OWN_HOLDERS),
    });
    const next = resuming({ body, first: response.headers, watch, reopen, attempt, clock: deps.clock });
    let chunk: Uint8Array | undefined = start;
    // A failure shows no more of it, and a slow download would hold the rest for hours.
    start = new Uint8Array(start.subarray(0, BODY_START_BYTES));
    for (; chunk !== undefined; chunk = await next()) {
      checkLength(body.bytes, claimed.task, deps.maxBytes);
      checksum.update(chunk);
      watch.pause();
      await upload.write(chunk);
      watch.resume();
    }
    watch.stop(); // the host's part is over
    checkSize(claimed.task, body.bytes);
    sha256 = checksum.verify();
    const stored = await upload.commit();
    return { ...stored, sha256, contentType, contentEncoding, integrity: weaker(integrity, stored) };
  } catch (error) {
    await upload?.abort();
    if (!(error instanceof Failure) || !isAboutTheBody(error)) throw error;
    throw start === undefined
      ? await withStartOf(response.body, error, attempt, deps.clock)
      : withBodyStart(error, start);
  } finally {
    watch.stop();
    body.close();
  }
}

interface Resuming extends Pick<TransferDeps, "clock"> {
  readonly body: Body;
  /** The head of the first answer. */
  readonly first: HeaderFields;
  readonly watch: BodyWatch;
  readonly reopen: Reopen<HttpResponse>;
  readonly attempt: Attempt;
}

/**
 * Makes a function that returns the body's chunks. After a cut it continues by another connection, as long as each one
 * makes progress. A cut that cannot be resumed stays the same failure. If the host refuses the rest with 429 or 503,
 * the attempt fails with that.
 */
function resuming({ body, first, watch, reopen, attempt, clock }: Resuming): () => Promise<Uint8Array | undefined> {
  const validator = resumeValidator(first);
  let resumedAt = 0;
  return async function next(): Promise<Uint8Array | undefined> {
    try {
      return await body.next();
    } catch (error) {
      if (validator === undefined || !isCut(error) || body.bytes - resumedAt < PROGRESS_BYTES_MIN) throw error;
      resumedAt = body.bytes;
      const point = { first, validator, offset: body.bytes, total: body.declared };
      watch.pause();
      const rest = await reopen(rangeHeaders(point)).catch(() => undefined);
      attempt.signal.throwIfAborted();
      if (rest === undefined) throw error;
      const judged = judgeRest(rest, point, clock.now());
      if (judged.kind === "refused") {
        attempt.trace.httpStatus = judged.status;
        throw await withStartOf(rest.body, httpFailure(judged.status, judged.retryAfterMs), attempt, clock);
      }
      if (judged.kind === "unusable") {
        rest.body.discard();
        throw error;
      }
      body.continueWith(rest, judged.total);
      watch.resume();
      return next();
    }
  };
}

/** Records an upload. A failed write to the queue is our side's failure, so the task waits. */
async function record(upload: OpenUpload, claimed: ClaimedTask, deps: TransferDeps): Promise<void> {
  try {
    await deps.recordUpload(claimed, upload);
  } catch (cause) {
    throw new Failure("UPLOAD_UNAVAILABLE", "the upload could not be recorded in queue.db, so it was not started", {
      cause,
    });
  }
}

/** What an object carries of its job and its task. */
function ownersOf({ id, job, task }: ClaimedTask) {
  return { labels: { job: job.jobId, task: String(id) }, attributes: task.attributes, jobType: job.jobType };
}

/** The answer's media type if every storage can keep it, else the fallback: a host must not cause a failed upload. */
function storableType(response: HttpResponse): string {
  const type = (response.headers.get("content-type") ?? "").replaceAll(/\s+/g, " ").trim();
  return type.length <= MEDIA_TYPE_LENGTH_MAX && /^[\x20-\x7e]+$/.test(type) ? type : FALLBACK_TYPE;
}

function checkHead(response: HttpResponse, task: Task, declared: number | undefined, maxBytes: number): void {
  if (declared !== undefined && declared > maxBytes) throw tooLarge(maxBytes, declared);
  if (declared !== undefined && task.size !== undefined && declared !== task.size)
    throw wrongSize(numbered(declared, "byte"), task.size);
  const type = response.headers.get("content-type");
  if (task.contentType !== undefined && !matchesMediaType(task.contentType, type)) {
    const served = type === undefined ? "has no Content-Type" : `is ${type.slice(0, 100)}`;
    throw wrongType(`the answer ${served}, the manifest requires ${task.contentType}`);
  }
  if (task.rejectHtml === true && isHtml(type)) throw wrongType("the answer is HTML, which the manifest refuses");
}

/** Rejects HTML by its start: an unwanted page may have any media type. */
function sniffHtml(start: Uint8Array, task: Task): void {
  if (task.rejectHtml !== true) return;
  if (HTML_START.test(new TextDecoder().decode(start.subarray(0, 512)))) {
    throw wrongType("the answer looks like HTML, which the manifest refuses");
  }
}

/** Ends a body as soon as it exceeds a limit. */
function checkLength(bytes: number, task: Task, maxBytes: number): void {
  if (bytes > maxBytes) throw tooLarge(maxBytes);
  if (task.size !== undefined && bytes > task.size)
    throw wrongSize(`more than ${numbered(task.size, "byte")}`, task.size);
}

/** Whether anything but the end of the connection proves that the body is whole. */
function integrityOf(response: HttpResponse, task: Task): Integrity {
  const isKnown = task.checksum !== undefined || task.size !== undefined;
  return response.framing.kind === "until-close" && !isKnown ? "unverified" : "verified";
}

/** The integrity of the object: the lower one of the received body's and the stored copy's. */
function weaker(integrity: Integrity, { provenBy }: StoredObject): Integrity {
  return integrity === "verified" && provenBy === "size" ? "size" : integrity;
}

function checkSize(task: Task, bytes: number): void {
  if (task.size !== undefined && bytes !== task.size) throw wrongSize(numbered(bytes, "byte"), task.size);
}

function tooLarge(maxBytes: number, declared?: number): Failure {
  const size = declared === undefined ? "the body is" : `the answer declares ${numbered(declared, "byte")},`;
  return new Failure("DOWNLOAD_TOO_LARGE", `${size} over the limit of ${numbered(maxBytes, "byte")}`);
}

function wrongSize(actual: string, expected: number): Failure {
  return new Failure("DOWNLOAD_SIZE_MISMATCH", `the body has ${actual}, the manifest requires ${expected}`);
}

function wrongType(message: string): Failure {
  return new Failure("DOWNLOAD_CONTENT_TYPE_MISMATCH", message);
}
