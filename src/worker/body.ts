import { Failure } from "../jobs/failure.ts";
import type { BodyWatch } from "./body-watch.ts";
import { fetchFailure } from "./fetch-failure.ts";
import { type AttemptTrace, discardBody } from "./request.ts";

/** What is used of a stream's reader; Bun and node:stream/web declare the rest differently. */
interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** An answer's body, read chunk by chunk, with its silence watched and its end checked. */
export class Body {
  /** The answer, until somebody begins to read it. */
  #unread: Response | undefined;
  #reader: Reader | undefined;
  #declared: number | undefined;
  readonly #trace: AttemptTrace;
  readonly #signal: AbortSignal;
  readonly #watch: BodyWatch;
  readonly #stop: () => void;
  #ended = false;
  #bytes = 0;

  constructor(
    response: Response,
    declared: number | undefined,
    trace: AttemptTrace,
    signal: AbortSignal,
    watch: BodyWatch,
  ) {
    this.#unread = response;
    this.#declared = declared;
    this.#trace = trace;
    this.#signal = signal;
    this.#watch = watch;
    this.#stop = () => this.#cancel();
  }

  /** Bytes read so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the whole, where the answer says so. */
  get declared(): number | undefined {
    return this.#declared;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Goes on with the rest, which comes by another connection; `total` is the size of the whole. */
  continueWith(rest: Response, total: number): void {
    this.#cancel();
    this.#unread = rest;
    this.#declared = total;
  }

  /** All of it in one piece; nothing shows before it is whole. @throws Failure, or the signal's reason */
  async whole(): Promise<Uint8Array> {
    const response = this.#begin();
    let body: Uint8Array;
    try {
      body = await response.bytes();
      this.#signal.throwIfAborted();
    } catch (error) {
      throw fetchFailure(error, this.#signal);
    }
    this.#took(body);
    this.#ended = true;
    this.#checkEnd();
    return body;
  }

  /** The next chunk; nothing at the end. @throws Failure, or the signal's reason */
  async next(): Promise<Uint8Array | undefined> {
    const chunk = await this.#read();
    if (chunk === undefined) {
      this.#ended = true;
      this.#checkEnd();
      return undefined;
    }
    this.#took(chunk);
    return chunk;
  }

  /** The body's start in one piece: all of it if it ends within `limit` bytes, else a little more than `limit`. */
  async upTo(limit: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    while (this.#bytes <= limit) {
      const chunk = await this.next();
      if (chunk === undefined) break;
      chunks.push(chunk);
    }
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  }

  /** Lets go of the connection, if the body was not read to its end. */
  close(): void {
    this.#signal.removeEventListener("abort", this.#stop);
    if (!this.#ended) this.#cancel();
  }

  #took(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    this.#watch.received(this.#bytes);
    this.#trace.bytes = this.#bytes;
  }

  async #read(): Promise<Uint8Array | undefined> {
    this.#signal.throwIfAborted();
    if (this.#unread !== undefined) this.#open();
    if (this.#reader === undefined) return undefined;
    try {
      const { done, value } = await this.#reader.read();
      this.#signal.throwIfAborted(); // a cancelled reader reports an end
      return done ? undefined : value;
    } catch (error) {
      const failure = fetchFailure(error, this.#signal);
      if (failure instanceof Failure && failure.code === "DOWNLOAD_RESET") throw this.#truncated(failure);
      throw failure;
    }
  }

  #open(): void {
    this.#reader = this.#begin().body?.getReader();
    this.#signal.addEventListener("abort", this.#stop, { once: true });
  }

  /** The answer, which belongs to whom it is given. */
  #begin(): Response {
    this.#signal.throwIfAborted();
    const response = this.#unread;
    if (response === undefined) throw new Error("the body is being read already");
    this.#unread = undefined;
    return response;
  }

  #checkEnd(): void {
    if (this.#declared !== undefined && this.#bytes !== this.#declared) throw this.#truncated();
  }

  #truncated(cause?: unknown): Failure {
    const of = this.#declared === undefined ? "" : ` of ${this.#declared}`;
    return new Failure("DOWNLOAD_TRUNCATED", `the body ended after ${this.#bytes}${of} bytes`, { cause });
  }

  #cancel(): void {
    if (this.#unread !== undefined) discardBody(this.#unread);
    this.#unread = undefined;
    void this.#reader?.cancel().catch(() => {});
  }
}
