import type { HeaderFields } from "../../http/message/header-fields.ts";
import { Failure } from "../../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload } from "../../jobs/object-store.ts";
import { declaredSize } from "../declared-size.ts";
import { trailerBody } from "./client/aws-chunked.ts";
import { base64Of, corrupt, hasSha256 } from "./client/copy-checks.ts";
import type { S3Client, S3Request } from "./client/s3-client.ts";
import { S3Failure } from "./client/s3-failure.ts";
import type { ServerTraits } from "./client/server-traits.ts";
import { confirmCopy } from "./confirm-copy.ts";
import { bareEtag } from "./metadata.ts";
import type { Tracking } from "./multipart.ts";
import { createPullStream } from "./pull-stream.ts";
import { createUploadVerification } from "./upload-verification.ts";
import { createVisibly } from "./visibility.ts";

/** A single PUT takes no more: 5 GiB. */
export const PUT_BYTES_MAX = 5 * 1024 ** 3;

/** S3 closes an upload that has been idle for about 20 s; some servers sooner. */
const PAUSE_MS = 5000;

export interface StreamingPutOptions extends Tracking {
  /** Exact, 1 byte to 5 GiB. */
  readonly size: number;
  readonly headers: Readonly<Record<string, string>>;
  /** By `UploadOptions`; without it the copy is compared by its size. */
  readonly sha256?: () => string;
  readonly traits: ServerTraits;
  /** Milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/**
 * One PUT whose last chunk is held back until `commit`: without it the body is too short, and the server
 * keeps nothing. Nothing is tried again, since nothing is kept to do so.
 */
export function createStreamingPut(client: S3Client, ref: ObjectRef, options: StreamingPutOptions): Upload {
  const { size, sha256, traits, signal } = options;
  const receipt = createUploadVerification(client, ref, options.token);
  const visibly = createVisibly(options.onBegin);
  const count = declaredSize(size);
  let held: Uint8Array | undefined;
  let lastWriteAt = options.now();
  /** Longest time in which the origin gave nothing. */
  let longestPauseMs = 0;
  let broken: { readonly error: unknown } | undefined;
  let outcome: "open" | "uncertain" | "stored" | "given up" = "open";

  const handover = createPullStream(() => clock.touch());
  const headers = { ...options.headers, ...receipt.headers };
  const sent =
    sha256 === undefined
      ? { headers, body: { bytes: size, source: handover.source } }
      : trailerBody(size, handover.source, sha256, headers);
  const request: S3Request = { method: "PUT", bucket: ref.bucket, key: ref.key, ...sent };
  const clock = client.deadline(request, signal);
  // The time runs while S3 has something to do, not while the origin of the bytes is slow.
  clock.pause();
  const answered = client.send(request, clock).finally(clock.end);
  const early = "S3 answered before it had the body";
  answered.then(
    () => handover.fail(new Failure("UPLOAD_UNAVAILABLE", `bucket ${ref.bucket}: ${early}`)),
    (error: unknown) => handover.fail(error),
  );

  async function hand(chunk: Uint8Array): Promise<void> {
    clock.touch();
    await handover.give(chunk);
    clock.pause();
  }

  /** An origin that paused for so long that S3 closed the upload is no fault of the storage. */
  function judged(error: unknown): unknown {
    const isClosed = error instanceof S3Failure && (error.isUncertain || error.s3Code === "RequestTimeout");
    if (!isClosed || longestPauseMs < PAUSE_MS) return error;
    const seconds = Math.round(longestPauseMs / 1000);
    const message = `the origin paused for ${seconds} s, and S3 closed the upload; the next attempt sends it in parts`;
    return new Failure("UPLOAD_REJECTED", message, { cause: error });
  }

  async function write(chunk: Uint8Array): Promise<void> {
    if (broken !== undefined) throw broken.error;
    longestPauseMs = Math.max(longestPauseMs, options.now() - lastWriteAt);
    try {
      signal.throwIfAborted();
      count.add(chunk.byteLength);
      if (held !== undefined) await hand(held);
      held = chunk;
      lastWriteAt = options.now();
    } catch (error) {
      broken = { error: judged(error) };
      throw broken.error;
    }
  }

  async function finish(): Promise<StoredObject> {
    if (broken !== undefined) throw broken.error;
    signal.throwIfAborted();
    count.total();
    outcome = "uncertain";
    const response = await visibly(async () => {
      if (held !== undefined) await hand(held);
      handover.end();
      clock.touch();
      return await answered;
    });
    response.body.discard();
    return proven(response.headers);
  }

  async function proven(answer: HeaderFields): Promise<StoredObject> {
    const digest = sha256?.();
    if (digest !== undefined && hasSha256(answer, base64Of(digest))) {
      return { bytes: size, etag: bareEtag(answer.get("etag")), provenBy: "checksum" };
    }
    const copy = { ref, bytes: size, headers, traits, signal };
    return confirmCopy(client, digest === undefined ? copy : { ...copy, sha256: digest });
  }

  async function commit(): Promise<StoredObject> {
    try {
      const stored = await finish().catch(foundAllTheSame);
      outcome = "stored";
      return stored;
    } catch (error) {
      await abort();
      throw judged(error);
    }
  }

  async function foundAllTheSame(error: unknown): Promise<StoredObject> {
    const isUncertain = error instanceof S3Failure && error.isUncertain;
    const found = isUncertain ? await receipt.find(signal).catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    if (found.bytes !== size) throw corrupt(`S3 has stored ${found.bytes} bytes of the object instead of ${size}`);
    return found;
  }

  async function abort(): Promise<void> {
    if (outcome === "stored" || outcome === "given up") return;
    const wasUncertain = outcome === "uncertain";
    outcome = "given up";
    const reason = new Failure("UPLOAD_UNAVAILABLE", "the upload was given up");
    clock.abort(reason);
    handover.fail(reason);
    broken ??= { error: reason };
    await answered.catch(() => undefined);
    if (wasUncertain) await receipt.withdraw();
  }

  return { write, commit, abort };
}
