import { HttpError } from "../http-error.ts";
import { type HeaderField, HeaderFields } from "./header-fields.ts";

export interface ResponseHead {
  /** The minor versions after 1.1 count as 1.1 (RFC 9110, section 2.5). */
  readonly version: "1.0" | "1.1";
  /** 100 to 599. */
  readonly status: number;
  /** Latin-1, one character per byte; empty if the status line has none. */
  readonly reason: string;
  readonly headers: HeaderFields;
}

const STATUS_LINE = /^HTTP\/(\d)\.(\d) (\d{3})(?: (.*))?$/s;
/** By character code: 1 if a token may contain it (RFC 9110, section 5.6.2). Much faster than a regular expression. */
const IS_TOKEN = new Uint8Array(256);
for (const character of Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")) IS_TOKEN[character] = 1;
/** Characters that end a line or a value for some readers but not for others. */
const FORBIDDEN = /\r(?!\n)|\0/;
const TAB = 9;
const CR = 13;
const SPACE = 32;
const COLON = 58;

/**
 * Parses a response's head (RFC 9112, sections 2 to 5). `text` is Latin-1: the status line and the field lines, each
 * with its CRLF or LF, without the empty line at the end.
 *
 * Throws an `HttpError`: `protocol` if a line is malformed or the status is not in 100–599, `head-too-large` if there
 * are more than `fieldsMax` fields. A missing reason and its missing space are tolerated.
 */
export function parseHead(text: string, fieldsMax: number): ResponseHead {
  checkCharacters(text);
  const lineEnd = text.indexOf("\n");
  const match = STATUS_LINE.exec(text.slice(0, endOfLine(text, lineEnd)));
  if (match === null) throw new HttpError("protocol", "the status line is malformed");
  const [, major, minor, digits, reason = ""] = match;
  if (major !== "1") throw new HttpError("protocol", `the answer is HTTP/${major}.${minor}, not HTTP/1.1`);
  const status = Number(digits);
  if (status < 100 || status > 599) throw new HttpError("protocol", `status ${digits} is not a valid status`);
  const headers = parseLines(text, lineEnd + 1, fieldsMax);
  return { version: minor === "0" ? "1.0" : "1.1", status, reason, headers };
}

/**
 * Parses the field lines of a head or of a trailer section (RFC 9112, section 5). Text and errors are those of
 * `parseHead`. A folded line (section 5.2) is joined to the value before it by one space; white space before a colon is
 * dropped (section 5.1).
 */
export function parseFields(text: string, fieldsMax: number): HeaderFields {
  checkCharacters(text);
  return parseLines(text, 0, fieldsMax);
}

/** The text without surrounding spaces and tabs. `trim` would also remove bytes of a value, such as A0. */
export function trimBlanks(text: string, from = 0, to = text.length): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function parseLines(text: string, from: number, fieldsMax: number): HeaderFields {
  const fields: HeaderField[] = [];
  // Latin-1 keeps its length in lower case. One conversion of the text is five times faster than one for each name.
  const lower = text.toLowerCase();
  let at = from;
  while (at < text.length) {
    const lineEnd = text.indexOf("\n", at);
    if (lineEnd === -1) throw new HttpError("protocol", "the last line has no end");
    const end = endOfLine(text, lineEnd);
    if (isBlank(text.charCodeAt(at))) {
      unfold(fields, trimBlanks(text, at, end));
    } else {
      if (fields.length >= fieldsMax) throw new HttpError("head-too-large", `there are more than ${fieldsMax} fields`);
      const nameEnd = endOfToken(lower, at);
      fields.push([lower.slice(at, nameEnd), trimBlanks(text, afterColon(text, nameEnd), end)]);
    }
    at = lineEnd + 1;
  }
  return new HeaderFields(fields);
}

function endOfToken(lower: string, from: number): number {
  let at = from;
  while (IS_TOKEN[lower.charCodeAt(at)] === 1) at++;
  if (at === from) throw new HttpError("protocol", "a field line does not begin with a name");
  return at;
}

function afterColon(text: string, nameEnd: number): number {
  let at = nameEnd;
  while (isBlank(text.charCodeAt(at))) at++;
  if (text.charCodeAt(at) !== COLON) throw new HttpError("protocol", "a field line has no colon after its name");
  return at + 1;
}

function unfold(fields: HeaderField[], more: string): void {
  const last = fields.at(-1);
  if (last === undefined) throw new HttpError("protocol", "the first field line is a continuation");
  const [name, value] = last;
  if (more !== "") fields[fields.length - 1] = [name, value === "" ? more : `${value} ${more}`];
}

function checkCharacters(text: string): void {
  if (FORBIDDEN.test(text)) throw new HttpError("protocol", "there is a NUL or a bare CR among the fields");
}

function endOfLine(text: string, lineFeed: number): number {
  return text.charCodeAt(lineFeed - 1) === CR ? lineFeed - 1 : lineFeed;
}

function isBlank(character: number): boolean {
  return character === SPACE || character === TAB;
}
