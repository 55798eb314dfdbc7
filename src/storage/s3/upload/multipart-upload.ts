import { Failure } from "../../../jobs/failure.ts";
import type { ObjectRef, StoredObject, Upload, UploadOptions, UploadTracking } from "../../../jobs/object-store.ts";
import { type DeclaredSize, declaredSize } from "../../declared-size.ts";
import { UploadState } from "../../upload-state.ts";
import type { S3Client, S3Request } from "../client/s3-client.ts";
import { S3Failure } from "../client/s3-failure.ts";
import type { ServerTraits } from "../client/server-traits.ts";
import { confirmCopy } from "./confirm-copy.ts";
import { MultipartSession, type SessionOptions } from "./multipart-session.ts";
import type { PartBuffers } from "./part-buffers.ts";
import { PARTS_MAX } from "./part-size.ts";
import { UploadVerification } from "./upload-verification.ts";
import { VisibleRequests } from "./visible-requests.ts";
import { putWhole } from "./whole-put.ts";

interface MultipartOptions
  extends UploadTracking,
    Pick<UploadOptions, "onClosed">,
    Pick<SessionOptions, "onCreate" | "abortUpload"> {
  /** Declared size in bytes. */
  readonly size: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly traits: ServerTraits;
  readonly buffers: PartBuffers;
  /** Size of every part but the last one. */
  readonly partBytes: number;
  readonly signal: AbortSignal;
}

/**
 * An upload in parts, which `commit` alone completes. One part is filled while another one is sent, where there is
 * memory for two. An object that proves to fit into one part is a single PUT at `commit`.
 *
 * Its stages are those of `UploadState`. Until the first full part is followed by another byte there is no session;
 * `write` and `commit` create it with that part:
 *
 *     open, without a session ──commit──▶ completing: one PUT
 *              │ write, commit
 *              ▼
 *     open, with a session ──commit──▶ completing: the last part, then the completion
 */
export class MultipartUpload implements Upload {
  readonly #client: S3Client;
  readonly #ref: ObjectRef;
  readonly #options: MultipartOptions;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #verification: UploadVerification;
  readonly #visible: VisibleRequests;
  readonly #size: DeclaredSize;
  readonly #bufferBytes: number;
  readonly #state = new UploadState();
  readonly #stop = new AbortController();
  /** Of all requests but those that clean up: aborted by the caller or by `abort`. */
  readonly #signal: AbortSignal;
  #session: MultipartSession | undefined;
  #filling: Buffer | undefined;
  #filled = 0;
  /** Buffers of this upload that are not in use: two at most. */
  readonly #spares: Buffer[] = [];
  /** The part that is being sent. */
  #sending: Promise<void> = Promise.resolve();
  /** The latest `write`; never rejects. */
  #writing: Promise<void> = Promise.resolve();

  constructor(client: S3Client, ref: ObjectRef, options: MultipartOptions) {
    this.#client = client;
    this.#ref = ref;
    this.#options = options;
    this.#verification = new UploadVerification(client, ref, options.token);
    this.#headers = { ...options.headers, ...this.#verification.headers };
    this.#visible = new VisibleRequests(options.onBegin);
    this.#size = declaredSize(options.size);
    this.#bufferBytes = Math.max(1, Math.min(options.size ?? options.partBytes, options.partBytes));
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
  }

  write(chunk: Uint8Array): Promise<void> {
    const written = this.#take(chunk);
    this.#writing = written.catch(noop);
    return written;
  }

  async commit(): Promise<StoredObject> {
    try {
      const stored = await this.#finish();
      this.#state.store();
      this.#giveBuffersBack();
      if (this.#session === undefined) this.#options.onClosed?.("");
      else await this.#session.close();
      return stored;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async abort(): Promise<void> {
    const aborted = this.#state.abort();
    if (aborted === undefined) return;
    this.#stop.abort(aborted.error);
    await Promise.allSettled([this.#writing, this.#sending]);
    this.#giveBuffersBack();
    if (this.#session === undefined) this.#options.onClosed?.("");
    else await this.#session.abort();
    if (aborted.mayBeVisible) await this.#verification.withdraw();
  }

  async #take(chunk: Uint8Array): Promise<void> {
    try {
      this.#assertUsable();
      this.#size.add(chunk.byteLength);
      for (let rest = chunk; rest.byteLength > 0; ) {
        // Only now it is certain that the full part is not the last one, which `commit` sends.
        if (this.#filling !== undefined && this.#filled === this.#filling.byteLength) await this.#send(this.#filling);
        this.#filling ??= await this.#nextBuffer();
        const piece = rest.subarray(0, this.#filling.byteLength - this.#filled);
        this.#filling.set(piece, this.#filled);
        this.#filled += piece.byteLength;
        rest = rest.subarray(piece.byteLength);
      }
    } catch (error) {
      this.#state.fail(error);
      throw error;
    }
  }

  #assertUsable(): void {
    this.#state.assertOpen();
    this.#options.signal.throwIfAborted();
  }

  /** Waits in line for the first buffer; takes a second one where there is room, else waits for the first again. */
  async #nextBuffer(): Promise<Buffer> {
    const { buffers } = this.#options;
    if (this.#session === undefined) return buffers.take(this.#bufferBytes, this.#signal);
    const free = this.#spares.pop() ?? buffers.takeNow(this.#bufferBytes);
    if (free !== undefined) return free;
    await this.#sending;
    return this.#spares.pop() ?? buffers.take(this.#bufferBytes, this.#signal);
  }

  #giveBuffersBack(): void {
    if (this.#filling !== undefined) this.#spares.push(this.#filling);
    this.#filling = undefined;
    for (const buffer of this.#spares.splice(0)) this.#options.buffers.giveBack(buffer);
  }

  /** Starts to send the filled part, once the part before it has been sent. */
  async #send(part: Buffer): Promise<void> {
    await this.#sending;
    if (this.#session !== undefined && this.#session.parts >= PARTS_MAX) {
      throw new Failure("DOWNLOAD_TOO_LARGE", "the object needs more parts than S3 allows");
    }
    const session = this.#session ?? (await this.#createSession());
    this.#sending = this.#sendPart(session, part, this.#filled);
    this.#sending.catch(noop);
    this.#filling = undefined;
    this.#filled = 0;
  }

  async #createSession(): Promise<MultipartSession> {
    const session = new MultipartSession(this.#client, {
      ...this.#options,
      ref: this.#ref,
      headers: this.#headers,
      signal: this.#signal,
    });
    // Before its creation, so that an abort finds what a creation without a response may have left.
    this.#session = session;
    await session.create();
    return session;
  }

  async #sendPart(session: MultipartSession, part: Buffer, bytes: number): Promise<void> {
    try {
      await session.sendPart(part.subarray(0, bytes));
    } finally {
      this.#spares.push(part);
    }
  }

  async #finish(): Promise<StoredObject> {
    try {
      this.#assertUsable();
      const bytes = this.#size.total();
      if (this.#session === undefined) {
        return await this.#putWhole(this.#filling?.subarray(0, bytes) ?? Buffer.alloc(0));
      }
      if (this.#filling !== undefined) await this.#send(this.#filling);
      await this.#sending;
      return await this.#complete(this.#session, bytes);
    } catch (error) {
      return await this.#foundAfter(error);
    }
  }

  #putWhole(body: Buffer): Promise<StoredObject> {
    this.#state.complete();
    const { traits, onProbe } = this.#options;
    const exchange = (request: S3Request) => this.#visible.run(() => this.#client.exchange(request, this.#signal));
    const put = { ref: this.#ref, body, headers: this.#headers, traits, signal: this.#signal, onProbe, exchange };
    return putWhole(this.#client, put);
  }

  async #complete(session: MultipartSession, bytes: number): Promise<StoredObject> {
    this.#state.complete();
    const completed = await this.#client.retrying(() => this.#tryCompletion(session), this.#signal);
    if (typeof completed !== "string") return completed;
    const { traits } = this.#options;
    const copy = { ref: this.#ref, bytes, headers: this.#headers, traits, signal: this.#signal };
    const found = await confirmCopy(this.#client, { ...copy, isProven: session.isProven });
    return { ...found, etag: found.etag === "" ? completed : found.etag };
  }

  /** The ETag of the completed object, or the object itself where it was found after the completion had failed. */
  async #tryCompletion(session: MultipartSession): Promise<string | StoredObject> {
    try {
      return await this.#visible.run(() => session.complete());
    } catch (error) {
      return await this.#foundAfter(error);
    }
  }

  /** The object, where it is visible although a request failed: S3 may have carried it out, or an earlier try. */
  async #foundAfter(error: unknown): Promise<StoredObject> {
    const isOpen = error instanceof S3Failure && (error.isUncertain || error.s3Code === "NoSuchUpload");
    const found = isOpen ? await this.#verification.find(this.#signal).catch(noop) : undefined;
    if (found === undefined || found.bytes !== this.#size.total()) throw error;
    return this.#session?.isProven === true ? { ...found, provenBy: "checksum" } : found;
  }
}

function noop(): void {}
