import { HttpError } from "../http-error.ts";
import { ChunkedBody } from "./chunked-body.ts";
import { type Framing, framingOf } from "./framing.ts";
import { HeadReader, type ResponseLimits } from "./head-reader.ts";
import type { ResponseHead } from "./response-head.ts";

/** Receives the parts of an answer in order: `head`, `body` any number of times, `complete`. Must not call `feed`. */
export interface ResponseSink {
  /** The final head; interim heads are skipped. */
  head(head: ResponseHead, framing: Framing): void;
  /** A part of the bytes given to `feed`, never empty and never a copy. */
  body(chunk: Uint8Array): void;
  /** The message ended as its framing announced. Never called for a body that the close of the connection delimits. */
  complete(): void;
}

/**
 * The meaning of a proper close of the connection (RFC 9112, section 8):
 *
 * | outcome | when |
 * |---|---|
 * | `idle` | no answer was outstanding |
 * | `closed` | before the head was complete |
 * | `truncated` | within a body whose end the head announces |
 * | `until-close` | within a body that the close delimits; the body is complete then |
 */
export type Closing = "idle" | "closed" | "truncated" | "until-close";

const INTERIM_HEADS_MAX = 20;

/**
 * Parses the answers on one connection, one after the other, from pieces of any size (RFC 9112, sections 4 to 8).
 *
 *     idle ──begin──▶ head ──▶ length | chunked | until-close
 *     head, length, chunked ──complete──▶ idle | spent
 *     idle ──a stray byte──▶ spent
 *     any but failed ──end──▶ spent
 *     any ──an error──▶ failed
 *
 * `spent`: no answer is outstanding, and the connection cannot take another request. The events do not depend on how
 * the bytes are split, except that `body` may have more or fewer parts.
 */
export class ResponseParser {
  readonly #limits: ResponseLimits;
  readonly #sink: ResponseSink;
  readonly #onData: (data: Uint8Array) => void;
  #state: "idle" | "head" | "length" | "chunked" | "until-close" | "spent" | "failed" = "idle";
  #method = "";
  #heads: HeadReader;
  #interimHeads = 0;
  #bytesLeft = 0;
  #chunked: ChunkedBody;
  /** Whether the server keeps the connection after this answer. */
  #keepsConnection = true;
  #hasBegun = false;
  /** Set in the state `failed`. */
  #error: unknown;

  constructor(limits: ResponseLimits, sink: ResponseSink) {
    this.#limits = limits;
    this.#sink = sink;
    this.#onData = (data) => sink.body(data);
    this.#heads = new HeadReader(limits);
    this.#chunked = new ChunkedBody(limits);
  }

  /** True if the next request may be sent: no answer is outstanding, the connection is kept, no stray byte arrived. */
  get isClean(): boolean {
    return this.#state === "idle";
  }

  /** True if at least one byte arrived since `begin`. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Expects the answer to a request with this method. Throws an `Error` if the parser is not clean. */
  begin(method: string): void {
    if (!this.isClean) throw new Error("a request was started on a connection that cannot take one");
    this.#state = "head";
    this.#method = method;
    this.#heads = new HeadReader(this.#limits);
    this.#interimHeads = 0;
    this.#hasBegun = false;
  }

  /**
   * Takes the next bytes, which must not change afterwards. Bytes after the end of a message only make the parser
   * unclean.
   *
   * Throws an `HttpError` of kind `protocol` or `head-too-large`. After an error, also one of the sink, every further
   * call throws the same error.
   */
  feed(bytes: Uint8Array): void {
    if (this.#state === "failed") throw this.#error;
    if (bytes.length === 0) return;
    try {
      this.#take(bytes);
    } catch (error) {
      this.#state = "failed";
      this.#error = error;
      throw error;
    }
  }

  /** The meaning of the peer's proper close of the connection. Calls no event; throws if `feed` has thrown. */
  end(): Closing {
    const state = this.#state;
    if (state === "failed") throw this.#error;
    this.#state = "spent";
    if (state === "head") return "closed";
    if (state === "length" || state === "chunked") return "truncated";
    return state === "spent" ? "idle" : state;
  }

  #take(bytes: Uint8Array): void {
    if (this.#state === "idle" || this.#state === "spent") {
      this.#state = "spent";
      return;
    }
    this.#hasBegun = true;
    const from = this.#state === "head" ? this.#takeHeads(asBuffer(bytes)) : 0;
    if (from === bytes.length) return;
    if (this.#state === "length") this.#takeLength(bytes, from);
    else if (this.#state === "chunked") this.#takeChunked(asBuffer(bytes), from);
    else if (this.#state === "until-close") this.#sink.body(part(bytes, from, bytes.length));
  }

  /** Returns the index after the final head, or the length of the bytes. */
  #takeHeads(bytes: Buffer): number {
    for (let at = 0; at < bytes.length; ) {
      const read = this.#heads.take(bytes, at);
      if (read === undefined) break;
      at = read.end;
      if (read.head.status >= 200) return this.#beginBody(read.head, bytes, at);
      this.#skipInterim(read.head.status);
    }
    return bytes.length;
  }

  #skipInterim(status: number): void {
    if (status === 101) throw new HttpError("protocol", "the peer switched to a protocol that was not asked for");
    this.#interimHeads++;
    if (this.#interimHeads > INTERIM_HEADS_MAX) {
      throw new HttpError("protocol", `the peer sent more than ${INTERIM_HEADS_MAX} interim answers`);
    }
  }

  #beginBody(head: ResponseHead, bytes: Buffer, from: number): number {
    const framing = framingOf(head, this.#method);
    this.#keepsConnection = framing.keepsConnection;
    const isEmpty = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0);
    if (framing.kind !== "none") this.#state = framing.kind;
    if (framing.kind === "length") this.#bytesLeft = framing.bytes;
    if (framing.kind === "chunked") this.#chunked = new ChunkedBody(this.#limits);
    this.#sink.head(head, framing);
    if (!isEmpty) return from;
    this.#complete(bytes, from);
    return bytes.length;
  }

  #takeLength(bytes: Uint8Array, from: number): void {
    const end = Math.min(bytes.length, from + this.#bytesLeft);
    this.#bytesLeft -= end - from;
    this.#sink.body(part(bytes, from, end));
    if (this.#bytesLeft === 0) this.#complete(bytes, end);
  }

  #takeChunked(bytes: Buffer, from: number): void {
    const end = this.#chunked.take(bytes, from, this.#onData);
    if (this.#chunked.isDone) this.#complete(bytes, end);
  }

  /** The sink may call `begin` from `complete`: the parser must be ready for that before. */
  #complete(bytes: Uint8Array, end: number): void {
    this.#state = this.#keepsConnection && end === bytes.length ? "idle" : "spent";
    this.#sink.complete();
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The bytes themselves where a view would show the same, as it does for most pieces of a large body. */
function part(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to);
}
