import { stripVTControlCharacters } from "node:util";

/**
 * Text from outside in one line, without what could move a cursor, paint a screen or turn the direction of writing
 * (control, format and unassigned characters, line separators).
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** The same of a text of several lines, whose line breaks stay. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** A value as JSON in one line. What a terminal could obey or misread is escaped, which means the same. */
export function jsonLine(value: unknown): string {
  const escape = (character: string) =>
    Array.from({ length: character.length }, (_, at) => unicodeEscape(character.charCodeAt(at))).join("");
  return `${JSON.stringify(value).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, escape)}\n`;
}

function unicodeEscape(codeUnit: number): string {
  return `\\u${codeUnit.toString(16).padStart(4, "0")}`;
}

/** How much of a name that is too long is its end. */
const TAIL_SHARE = 0.6;

const characters = new Intl.Segmenter();

/** As much of a text as has room in a line, its beginning and its end: names differ at their ends. */
export function clipMiddle(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  const parts = [...characters.segment(text)].map(({ segment }) => segment);
  const room = Math.max(0, width - 1);
  const end = fitting(parts.toReversed(), Math.floor(room * TAIL_SHARE))
    .reverse()
    .join("");
  return `${fitting(parts, room - Bun.stringWidth(end)).join("")}…${end}`;
}

/** As much of a text as has room in a line, from its beginning. */
export function clipEnd(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  const parts = [...characters.segment(text)].map(({ segment }) => segment);
  return `${fitting(parts, Math.max(0, width - 1)).join("")}…`;
}

/** The first of the parts that have room together: a wide character is never cut in two. */
function fitting(parts: readonly string[], room: number): string[] {
  let left = room;
  const over = parts.findIndex((part) => (left -= Bun.stringWidth(part)) < 0);
  return parts.slice(0, over < 0 ? parts.length : over);
}
