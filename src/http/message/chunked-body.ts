import { HttpError } from "../http-error.ts";
import type { ResponseLimits } from "./head-reader.ts";
import { parseFields } from "./response-head.ts";
import { SectionBuffer } from "./section-buffer.ts";

/** A size, the padding that old servers add, and an extension. */
const SIZE_LINE = /^([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\0]*)?\r?$/;
const SIZE_LINE_BYTES_MAX = 4096;
/** Padding and extensions may take up to this many bytes more than the data before them. */
const OVERHEAD_BYTES_MAX = 65_536;
/** Smaller data is gathered: a view and its way downstream cost more than a copy. */
const VIEW_BYTES_MIN = 512;
const PLAIN_DIGITS_MAX = 7;
const NO_DIGIT = 255;
/** The value of each byte as a hexadecimal digit. */
const HEX_DIGITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? NO_DIGIT : value;
});
const LF = 10;
const CR = 13;

/**
 * Decodes the chunked coding (RFC 9112, section 7.1).
 *
 *     size ──▶ data ──▶ data-end ──▶ size …
 *     size 0 ──▶ trailers ──▶ done
 *
 * A lone LF may end a line. It may end data only if a lone LF ended the line of its size: otherwise a size that is one
 * too large would count the CR after the data as data. Extensions and trailers are dropped (sections 7.1.1 and 7.1.2);
 * trailers must have the syntax of fields.
 */
export class ChunkedBody {
  readonly #limits: ResponseLimits;
  readonly #trailers = new SectionBuffer("the trailer section");
  #state: "size" | "data" | "data-end" | "trailers" | "done" = "size";
  #sizeLine = "";
  #chunkBytesLeft = 0;
  #bytes = 0;
  #overheadBytes = 0;
  #isLoneLf = false;
  #isAfterCr = false;
  /** Data of small chunks that `onData` has not received yet. */
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;

  constructor(limits: ResponseLimits) {
    this.#limits = limits;
  }

  get isDone(): boolean {
    return this.#state === "done";
  }

  /**
   * Takes the bytes from `from` on and calls `onData` with the data among them, never empty: parts of `bytes`, or the
   * data of several small chunks together. Returns the index after the body's bytes: the length of `bytes` unless the
   * body ended.
   *
   * Throws an `HttpError`: `protocol` if the coding is malformed or its lines are too long, `head-too-large` if the
   * trailers pass the limits of a head.
   */
  take(bytes: Buffer, from: number, onData: (data: Uint8Array) => void): number {
    let at = from;
    try {
      while (at < bytes.length && this.#state !== "done") {
        if (this.#state === "size") at = this.#takeSizeLine(bytes, at);
        else if (this.#state === "data") at = this.#takeData(bytes, at, onData);
        else if (this.#state === "data-end") at = this.#takeDataEnd(bytes, at);
        else at = this.#takeTrailers(bytes, at);
      }
    } finally {
      // Data before an error is still delivered.
      this.#giveGathered(onData);
    }
    return at;
  }

  #takeSizeLine(bytes: Buffer, from: number): number {
    const plainEnd = this.#sizeLine === "" ? this.#takePlainSize(bytes, from) : undefined;
    if (plainEnd !== undefined) return plainEnd;
    const lineFeed = bytes.indexOf(LF, from);
    const end = lineFeed === -1 ? bytes.length : lineFeed;
    if (this.#sizeLine.length + end - from > SIZE_LINE_BYTES_MAX) {
      throw new HttpError("protocol", `the line of a chunk's size has more than ${SIZE_LINE_BYTES_MAX} bytes`);
    }
    this.#sizeLine += bytes.toString("latin1", from, end);
    if (lineFeed === -1) return end;
    this.#beginChunk(this.#sizeLine);
    this.#sizeLine = "";
    return lineFeed + 1;
  }

  /**
   * Takes a size line of a few digits, as most are, without making a string; `undefined` for any other line.
   */
  #takePlainSize(bytes: Buffer, from: number): number | undefined {
    let size = 0;
    let at = from;
    for (; at < from + PLAIN_DIGITS_MAX; at++) {
      const digit = HEX_DIGITS[bytes[at] ?? 0] ?? NO_DIGIT;
      if (digit === NO_DIGIT) break;
      size = size * 16 + digit;
    }
    if (at === from || bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
    this.#isLoneLf = false;
    this.#beginData(size);
    return at + 2;
  }

  #beginChunk(sizeLine: string): void {
    const digits = SIZE_LINE.exec(sizeLine)?.[1];
    if (digits === undefined) throw new HttpError("protocol", "the size of a chunk is malformed");
    const size = Number.parseInt(digits, 16);
    if (!Number.isSafeInteger(size)) throw new HttpError("protocol", "the size of a chunk is too large");
    this.#isLoneLf = !sizeLine.endsWith("\r");
    this.#overheadBytes += sizeLine.length - digits.length - (this.#isLoneLf ? 0 : 1);
    if (this.#overheadBytes > this.#bytes + OVERHEAD_BYTES_MAX) {
      throw new HttpError("protocol", "the extensions of the chunks are larger than their data");
    }
    this.#beginData(size);
  }

  #beginData(size: number): void {
    this.#bytes += size;
    this.#chunkBytesLeft = size;
    this.#state = size === 0 ? "trailers" : "data";
  }

  #takeData(bytes: Buffer, from: number, onData: (data: Uint8Array) => void): number {
    const end = Math.min(bytes.length, from + this.#chunkBytesLeft);
    this.#chunkBytesLeft -= end - from;
    if (this.#chunkBytesLeft === 0) this.#state = "data-end";
    if (end - from < VIEW_BYTES_MIN) {
      this.#gathered ??= Buffer.allocUnsafe(bytes.length - from);
      this.#gatheredBytes += bytes.copy(this.#gathered, this.#gatheredBytes, from, end);
    } else {
      this.#giveGathered(onData);
      onData(bytes.subarray(from, end));
    }
    return end;
  }

  #giveGathered(onData: (data: Uint8Array) => void): void {
    const data = this.#gathered?.subarray(0, this.#gatheredBytes);
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
    if (data !== undefined) onData(data);
  }

  #takeDataEnd(bytes: Buffer, from: number): number {
    const byte = bytes[from];
    const isCr = byte === CR && !this.#isAfterCr;
    const isEnd = byte === LF && (this.#isAfterCr || this.#isLoneLf);
    if (!isCr && !isEnd) throw new HttpError("protocol", "the data of a chunk does not end where its size says");
    this.#isAfterCr = isCr;
    if (isEnd) this.#state = "size";
    return from + 1;
  }

  #takeTrailers(bytes: Buffer, from: number): number {
    const section = this.#trailers.take(bytes, from, this.#limits.headBytesMax);
    if (section === undefined) return bytes.length;
    parseFields(section.text, this.#limits.fieldsMax);
    this.#state = "done";
    return section.end;
  }
}
