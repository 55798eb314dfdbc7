import type { HttpResponse } from "../../../http/connection.ts";
import type { HeaderFields } from "../../../http/message/header-fields.ts";
import { Failure } from "../../../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload, UploadTracking } from "../../../jobs/object-store.ts";
import { numbered } from "../../../std/counted.ts";
import { base64OfHex } from "../../../std/digest.ts";
import { type DeclaredSize, declaredSize } from "../../declared-size.ts";
import { UploadState } from "../../upload-state.ts";
import { trailerBody } from "../client/aws-chunked.ts";
import { corrupt, hasSha256 } from "../client/copy-checks.ts";
import type { Deadline } from "../client/request-deadline.ts";
import type { S3Client } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import type { ServerTraits } from "../client/server-traits.ts";
import { bareEtag } from "../metadata.ts";
import { confirmCopy } from "./confirm-copy.ts";
import { createPullStream, type PullStream } from "./pull-stream.ts";
import { UploadVerification } from "./upload-verification.ts";
import { VisibleRequests } from "./visible-requests.ts";

/** A single PUT takes no more: 5 GiB. */
export const PUT_BYTES_MAX = 5 * 1024 ** 3;

/** S3 closes an upload that has been idle for about 20 s; some servers sooner. */
const PAUSE_MS = 5000;

interface StreamingPutOptions extends Pick<UploadTracking, "token" | "onBegin"> {
  /** Exact, 1 byte to 5 GiB. */
  readonly size: number;
  readonly headers: Readonly<Record<string, string>>;
  /** As in `UploadOptions`; without it the copy is compared by its size. */
  readonly sha256?: () => string;
  readonly traits: ServerTraits;
  /** Milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/**
 * One PUT whose last chunk is held back until `commit`: without that chunk the body is too short, and the server keeps
 * nothing. No request is repeated, since no byte is kept for it. Its stages are those of `UploadState`, and the request
 * runs from the start.
 */
export class StreamingPut implements Upload {
  readonly #client: S3Client;
  readonly #ref: ObjectRef;
  readonly #options: StreamingPutOptions;
  readonly #verification: UploadVerification;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #visible: VisibleRequests;
  readonly #size: DeclaredSize;
  readonly #state = new UploadState();
  readonly #stream: PullStream;
  readonly #deadline: Deadline;
  readonly #response: Promise<HttpResponse>;
  #held: Uint8Array | undefined;
  #lastWriteAt: number;
  /** Longest time in which the origin sent no byte. */
  #longestPauseMs = 0;

  constructor(client: S3Client, ref: ObjectRef, options: StreamingPutOptions) {
    this.#client = client;
    this.#ref = ref;
    this.#options = options;
    this.#verification = new UploadVerification(client, ref, options.token);
    this.#headers = { ...options.headers, ...this.#verification.headers };
    this.#visible = new VisibleRequests(options.onBegin);
    this.#size = declaredSize(options.size);
    this.#lastWriteAt = options.now();
    this.#stream = createPullStream(() => this.#deadline.touch());
    const request = { method: "PUT", bucket: ref.bucket, key: ref.key, ...this.#payload() } as const;
    this.#deadline = client.deadline(request, options.signal);
    // The time runs while S3 has something to do, not while the origin of the bytes is slow.
    this.#deadline.pause();
    this.#response = client.send(request, this.#deadline).finally(this.#deadline.end);
    this.#response.catch((error: unknown) => this.#stream.fail(error));
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#state.assertOpen();
    const { now, signal } = this.#options;
    this.#longestPauseMs = Math.max(this.#longestPauseMs, now() - this.#lastWriteAt);
    try {
      signal.throwIfAborted();
      this.#size.add(chunk.byteLength);
      if (this.#held !== undefined) await this.#send(this.#held);
      this.#held = chunk;
      this.#lastWriteAt = now();
    } catch (error) {
      const judged = this.#judged(error);
      this.#state.fail(judged);
      throw judged;
    }
  }

  async commit(): Promise<StoredObject> {
    try {
      const stored = await this.#finish();
      this.#state.store();
      return stored;
    } catch (error) {
      await this.abort();
      throw this.#judged(error);
    }
  }

  async abort(): Promise<void> {
    const aborted = this.#state.abort();
    if (aborted === undefined) return;
    this.#deadline.abort(aborted.error);
    this.#stream.fail(aborted.error);
    await this.#response.catch(() => undefined);
    if (aborted.mayBeVisible) await this.#verification.withdraw();
  }

  #payload() {
    const { size, sha256 } = this.#options;
    const { source } = this.#stream;
    if (sha256 !== undefined) return trailerBody(size, source, sha256, this.#headers);
    return { headers: this.#headers, body: { bytes: size, source } };
  }

  async #send(chunk: Uint8Array): Promise<void> {
    this.#deadline.touch();
    await this.#stream.give(chunk);
    this.#deadline.pause();
  }

  /** An origin that paused until S3 closed the upload is no fault of the storage. */
  #judged(error: unknown): unknown {
    const isClosed = error instanceof S3Failure && (error.isUncertain || error.s3Code === "RequestTimeout");
    if (!isClosed || this.#longestPauseMs < PAUSE_MS) return error;
    const seconds = Math.round(this.#longestPauseMs / 1000);
    const message = `the origin paused for ${seconds} s, and S3 closed the upload; the next attempt sends it in parts`;
    return new Failure("UPLOAD_REJECTED", message, { cause: error });
  }

  async #finish(): Promise<StoredObject> {
    try {
      this.#state.assertOpen();
      this.#options.signal.throwIfAborted();
      this.#size.total();
      this.#state.complete();
      const response = await this.#visible.run(() => this.#sendLast());
      response.body.discard();
      return await this.#proven(response.headers);
    } catch (error) {
      return await this.#foundAfter(error);
    }
  }

  async #sendLast(): Promise<HttpResponse> {
    if (this.#held !== undefined) await this.#send(this.#held);
    this.#stream.end();
    this.#deadline.touch();
    return await this.#response;
  }

  async #proven(response: HeaderFields): Promise<StoredObject> {
    const { size: bytes, sha256, traits, signal } = this.#options;
    const digest = sha256?.();
    if (digest !== undefined && hasSha256(response, base64OfHex(digest))) {
      return { bytes, etag: bareEtag(response.get("etag")), provenBy: "checksum" };
    }
    const copy = { ref: this.#ref, bytes, headers: this.#headers, traits, signal };
    return confirmCopy(this.#client, digest === undefined ? copy : { ...copy, sha256: digest });
  }

  /** The object, where it is visible although the request failed without a response. */
  async #foundAfter(error: unknown): Promise<StoredObject> {
    const { size, signal } = this.#options;
    const isUncertain = error instanceof S3Failure && error.isUncertain;
    const found = isUncertain ? await this.#verification.find(signal).catch(() => undefined) : undefined;
    if (found === undefined) throw error;
    if (found.bytes !== size)
      throw corrupt(`S3 has stored ${numbered(found.bytes, "byte")} of the object instead of ${size}`);
    return found;
  }
}
