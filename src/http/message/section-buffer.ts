import { HttpError } from "../http-error.ts";

interface Section {
  /** The lines as Latin-1 text, each with its line end, without the empty line. */
  readonly text: string;
  /** The index after the empty line, within the bytes of the last call. */
  readonly end: number;
}

const LF_CRLF = Buffer.from("\n\r\n");
const LF_LF = Buffer.from("\n\n");
const LF = 10;
const CR = 13;
const FIRST_CAPACITY = 512;
const NO_BYTES = Buffer.alloc(0);

/**
 * Finds the empty line that ends a head or a trailer section (RFC 9112, sections 2.1 and 7.1.2). It copies bytes only
 * if the section is split over several pieces. Its time is linear in the bytes, however small the pieces are.
 */
export class SectionBuffer {
  readonly #subject: string;
  #gathered = NO_BYTES;
  #length = 0;

  /** `subject` names the section in messages: "the head". */
  constructor(subject: string) {
    this.#subject = subject;
  }

  /** The number of bytes gathered of an unfinished section. */
  get length(): number {
    return this.#length;
  }

  /**
   * Takes the bytes from `from` on. Returns the section if its end is among them, and is empty again; `undefined` if
   * more bytes are needed. Throws an `HttpError` of kind `head-too-large` if the section with its empty line has more
   * than `bytesMax` bytes.
   */
  take(bytes: Buffer, from: number, bytesMax: number): Section | undefined {
    if (this.#length > 0) return this.#takeMore(bytes, from, bytesMax);
    const section = find(bytes, from, from);
    if ((section?.end ?? bytes.length) - from > bytesMax) throw this.#tooLarge();
    if (section === undefined) this.#append(bytes, from, bytes.length);
    return section;
  }

  #takeMore(bytes: Buffer, from: number, bytesMax: number): Section | undefined {
    const before = this.#length;
    // One byte over the limit is enough to detect a section that is too large.
    this.#append(bytes, from, Math.min(bytes.length, from + bytesMax + 1 - before));
    const section = find(this.#gathered.subarray(0, this.#length), 0, Math.max(0, before - 2));
    if ((section?.end ?? this.#length) > bytesMax) throw this.#tooLarge();
    if (section === undefined) return undefined;
    this.#gathered = NO_BYTES;
    this.#length = 0;
    return { text: section.text, end: from + section.end - before };
  }

  #append(bytes: Buffer, from: number, to: number): void {
    const length = this.#length + to - from;
    if (length > this.#gathered.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#gathered.length, FIRST_CAPACITY));
      this.#gathered.copy(larger, 0, 0, this.#length);
      this.#gathered = larger;
    }
    bytes.copy(this.#gathered, this.#length, from, to);
    this.#length = length;
  }

  #tooLarge(): HttpError {
    return new HttpError("head-too-large", `${this.#subject} has more bytes than allowed`);
  }
}

/** The section that starts at `start`, with its end at `searchFrom` or later; `undefined` if there is no end. */
function find(bytes: Buffer, start: number, searchFrom: number): Section | undefined {
  if (bytes[start] === LF) return { text: "", end: start + 1 };
  if (bytes[start] === CR && bytes[start + 1] === LF) return { text: "", end: start + 2 };
  const crlf = bytes.indexOf(LF_CRLF, searchFrom);
  if (crlf === -1) {
    const lf = bytes.indexOf(LF_LF, searchFrom);
    return lf === -1 ? undefined : { text: bytes.toString("latin1", start, lf + 1), end: lf + 2 };
  }
  // A lone LF may end the section earlier. A search in all bytes for it would run through the whole body.
  const text = bytes.toString("latin1", start, crlf + 1);
  const lf = text.indexOf("\n\n", searchFrom - start);
  return lf === -1 ? { text, end: crlf + 3 } : { text: text.slice(0, lf + 1), end: start + lf + 2 };
}
