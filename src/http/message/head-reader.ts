import { HttpError } from "../http-error.ts";
import { parseHead, type ResponseHead } from "./response-head.ts";
import { SectionBuffer } from "./section-buffer.ts";

export interface ResponseLimits {
  /** Most bytes of all interim heads and the final head of an answer together; also those of a trailer section. */
  readonly headBytesMax: number;
  /** Most fields of one head or trailer section. */
  readonly fieldsMax: number;
}

interface ReadHead {
  readonly head: ResponseHead;
  /** The index after the head, within the bytes of the last call. */
  readonly end: number;
}

const NAME = Buffer.from("HTTP/");
const LF = 10;
const CR = 13;
/** Some servers send an extra line end after a body, which then precedes the next head. */
const EMPTY_LINE_BYTES_MAX = 8;

/** Reads the heads of one answer: interim heads, then the final one. */
export class HeadReader {
  readonly #fieldsMax: number;
  readonly #section = new SectionBuffer("the head");
  #bytesLeft: number;
  #emptyLineBytes = 0;
  #isAfterCr = false;

  constructor({ headBytesMax, fieldsMax }: ResponseLimits) {
    this.#bytesLeft = headBytesMax;
    this.#fieldsMax = fieldsMax;
  }

  /**
   * Takes the bytes from `from` on. Returns the next head if its end is among them, `undefined` if more bytes are
   * needed.
   *
   * Throws an `HttpError`: `protocol` as soon as the bytes cannot be a head, or if `parseHead` refuses it;
   * `head-too-large` if a limit is passed. The outcome does not depend on how the bytes are split.
   */
  take(bytes: Buffer, from: number): ReadHead | undefined {
    const start = this.#section.length === 0 ? this.#skipEmptyLines(bytes, from) : from;
    this.#checkName(bytes, start);
    const before = this.#section.length;
    // No head ends within `HTTP/`. A limit that is reached there waits, so that garbage is refused as garbage.
    const section = this.#section.take(bytes, start, Math.max(this.#bytesLeft, NAME.length));
    if (section === undefined) return undefined;
    this.#bytesLeft -= before + section.end - start;
    this.#emptyLineBytes = 0;
    return { head: parseHead(section.text, this.#fieldsMax), end: section.end };
  }

  #skipEmptyLines(bytes: Buffer, from: number): number {
    let at = from;
    for (; at < bytes.length; at++) {
      const byte = bytes[at];
      const isCr = byte === CR && !this.#isAfterCr;
      if (!isCr && byte !== LF) break;
      this.#isAfterCr = isCr;
      if (++this.#emptyLineBytes > EMPTY_LINE_BYTES_MAX) throw notHttp();
    }
    if (at < bytes.length && this.#isAfterCr) throw notHttp();
    return at;
  }

  /** Refuses garbage at its first byte: the wait for the end of its head would last until a limit. */
  #checkName(bytes: Buffer, start: number): void {
    const offset = start - this.#section.length;
    for (let index = this.#section.length; index < NAME.length && offset + index < bytes.length; index++) {
      if (bytes[offset + index] !== NAME[index]) throw notHttp();
    }
  }
}

function notHttp(): HttpError {
  return new HttpError("protocol", "the answer does not start with HTTP/");
}
