import { HttpError } from "../http-error.ts";

/** How a body ended: as its framing announced, or with the connection, which leaves open whether it is complete. */
type BodyEnd = "complete" | "closed";

/** The part of a connection that a body uses. */
export interface BodyConnection {
  pause(): void;
  resume(): void;
  /** Closes the connection, because the rest of its answer is not wanted. */
  abandon(): void;
}

/** The peer is held back once more bytes than this wait for a reader. A smaller body frees its connection unread. */
const WAITING_BYTES_MAX = 256 * 1024;

/** Each chunk costs some hundred bytes besides its own. */
const WAITING_CHUNKS_MAX = 4096;

/**
 * The body of an answer, chunk by chunk. At most `WAITING_BYTES_MAX` and one chunk wait in memory.
 *
 *     flowing ──too many bytes wait──▶ paused ──all were read──▶ flowing
 *     flowing, paused ──finish──▶ ended
 *     flowing, paused ──fail, discard──▶ failed
 */
export class IncomingBody {
  readonly #connection: BodyConnection;
  readonly #chunks: Uint8Array[] = [];
  #state: "flowing" | "paused" | "ended" | "failed" = "flowing";
  #waitingBytes = 0;
  #reader: PromiseWithResolvers<Uint8Array | undefined> | undefined;
  /** Set in the state `ended`. */
  #end: BodyEnd | undefined;
  /** Set in the state `failed`. */
  #error: unknown;

  constructor(connection: BodyConnection) {
    this.#connection = connection;
  }

  /** How the body ended, once all bytes were received, read or not; `undefined` before, and after a failure. */
  get end(): BodyEnd | undefined {
    return this.#end;
  }

  /**
   * The next chunk if it was received already; `undefined` if `read` must be asked. It needs no promise, and most small
   * bodies are received with their head.
   */
  readReady(): Uint8Array | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#waitingBytes -= chunk.length;
    if (this.#state === "paused" && this.#waitingBytes === 0) {
      this.#state = "flowing";
      this.#connection.resume();
    }
    return chunk;
  }

  /** True once all chunks were read and the body has ended. */
  get isRead(): boolean {
    return this.#state === "ended" && this.#chunks.length === 0;
  }

  /**
   * The next chunk, which belongs to the caller; `undefined` at the end. One read at a time. Throws an `HttpError`
   * (`reset`, `truncated`, `protocol`) after the chunks before it, or at once the reason of the request's signal.
   */
  read(): Promise<Uint8Array | undefined> {
    const chunk = this.readReady();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.#state === "failed") return Promise.reject(this.#error);
    if (this.#state === "ended") return Promise.resolve(undefined);
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  /** Drops the rest of the body. Closes the connection, unless all bytes were received already. */
  discard(): void {
    this.#chunks.length = 0;
    if (this.#isOver()) return;
    this.#enterFailed(new HttpError("closed", "the body was discarded"));
    this.#connection.abandon();
  }

  /** For the connection: it received bytes. */
  push(chunk: Uint8Array): void {
    if (this.#state === "failed") return;
    if (this.#reader !== undefined) {
      this.#settle((reader) => reader.resolve(chunk));
      return;
    }
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#state !== "flowing") return;
    if (this.#waitingBytes <= WAITING_BYTES_MAX && this.#chunks.length <= WAITING_CHUNKS_MAX) return;
    this.#state = "paused";
    this.#connection.pause();
  }

  /** For the connection: the body has ended. */
  finish(end: BodyEnd): void {
    if (this.#state === "failed") return;
    this.#state = "ended";
    this.#end = end;
    this.#settle((reader) => reader.resolve(undefined));
  }

  /** For the connection: the rest is lost. The chunks before can still be read, unless `isAborted`. */
  fail(error: unknown, isAborted: boolean): void {
    if (this.#isOver()) return;
    if (isAborted) this.#chunks.length = 0;
    this.#enterFailed(error);
  }

  #isOver(): boolean {
    return this.#state === "ended" || this.#state === "failed";
  }

  #enterFailed(error: unknown): void {
    this.#state = "failed";
    this.#error = error;
    this.#settle((reader) => reader.reject(error));
  }

  #settle(settle: (reader: PromiseWithResolvers<Uint8Array | undefined>) => void): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) settle(reader);
  }
}
