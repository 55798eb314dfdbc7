import { HttpError } from "../http-error.ts";

/** How a body ended: as its framing says, or with the connection, so that nothing tells whether it is whole. */
type BodyEnd = "complete" | "closed";

/** What a body needs of its connection. */
export interface BodyConnection {
  pause(): void;
  resume(): void;
  /** Closes the connection, whose answer nobody wants any more. */
  abandon(): void;
}

/** Bytes that wait for a reader, from which on the peer is held back. A smaller body frees its connection unread. */
const WAITING_BYTES_MAX = 256 * 1024;

/** Each chunk costs some hundred bytes besides its own. */
const WAITING_CHUNKS_MAX = 4096;

/** The body of an answer, chunk by chunk. At most `WAITING_BYTES_MAX` and one chunk wait in memory. */
export class IncomingBody {
  readonly #connection: BodyConnection;
  readonly #chunks: Uint8Array[] = [];
  #waitingBytes = 0;
  #isPaused = false;
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  #end: BodyEnd | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(connection: BodyConnection) {
    this.#connection = connection;
  }

  /** Set once all bytes have come, whether they were read or not. */
  get end(): BodyEnd | undefined {
    return this.#end;
  }

  /**
   * The next chunk if it is here already, without a wait; `undefined` says nothing, and `read` says the rest. Most
   * small bodies are here with their head.
   */
  readReady(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#waitingBytes -= chunk.length;
    if (this.#isPaused && this.#waitingBytes === 0) this.#resume();
    return chunk;
  }

  /** True once all chunks were read and the body has ended. */
  get isRead(): boolean {
    return this.#end !== undefined && this.#chunks.length === 0;
  }

  /**
   * The next chunk, which is the caller's; `undefined` at the end. One read at a time. Throws an `HttpError` (`reset`,
   * `truncated`, `protocol`), after the chunks that came before it; or at once the reason of the request's signal.
   */
  read(): Promise<Uint8Array | undefined> {
    const chunk = this.readReady();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#end !== undefined) return Promise.resolve(undefined);
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  /** Wants no more of it. The connection is closed, unless all has come already. */
  discard(): void {
    this.#chunks.length = 0;
    if (this.#end !== undefined || this.#failure !== undefined) return;
    this.#failure = { error: new HttpError("closed", "the body was discarded") };
    this.#settle((reader) => reader.reject(this.#failure?.error));
    this.#connection.abandon();
  }

  /** For the connection: bytes have come. */
  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    if (this.#reader !== undefined) {
      this.#settle((reader) => reader.resolve(chunk));
      return;
    }
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#isPaused) return;
    if (this.#waitingBytes <= WAITING_BYTES_MAX && this.#chunks.length <= WAITING_CHUNKS_MAX) return;
    this.#isPaused = true;
    this.#connection.pause();
  }

  /** For the connection: nothing more comes. */
  finish(end: BodyEnd): void {
    if (this.#failure !== undefined) return;
    this.#end = end;
    this.#isPaused = false;
    this.#settle((reader) => reader.resolve(undefined));
  }

  /** For the connection: the rest is lost. What came can still be read, unless `isAborted`. */
  fail(error: unknown, isAborted: boolean): void {
    if (this.#failure !== undefined || this.#end !== undefined) return;
    this.#failure = { error };
    if (isAborted) this.#chunks.length = 0;
    this.#settle((reader) => reader.reject(error));
  }

  #resume(): void {
    this.#isPaused = false;
    this.#connection.resume();
  }

  #settle(settle: (reader: PromiseWithResolvers<Uint8Array | undefined>) => void): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) settle(reader);
  }
}
