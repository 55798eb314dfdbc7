import { stripVTControlCharacters } from "node:util";

/**
 * Foreign text in one line, without characters that could move a cursor, paint a screen or change the direction of
 * writing (control, format and unassigned characters, line separators).
 */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** Foreign text of several lines, made printable line by line. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** A value as JSON in one line. Characters that a terminal could obey or misread are escaped. */
export function jsonLine(value: unknown): string {
  const escape = (character: string) =>
    Array.from({ length: character.length }, (_, at) => unicodeEscape(character.charCodeAt(at))).join("");
  return `${JSON.stringify(value).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, escape)}\n`;
}

function unicodeEscape(codeUnit: number): string {
  return `\\u${codeUnit.toString(16).padStart(4, "0")}`;
}

/** The share of a shortened name that its end has. */
const TAIL_SHARE = 0.6;

const characters = new Intl.Segmenter();

/** The beginning and the end of a text, in at most `width` columns: names differ at their ends. */
export function clipMiddle(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  const parts = [...characters.segment(text)].map(({ segment }) => segment);
  const room = Math.max(0, width - 1);
  const end = fitting(parts.toReversed(), Math.floor(room * TAIL_SHARE))
    .reverse()
    .join("");
  return `${fitting(parts, room - Bun.stringWidth(end)).join("")}…${end}`;
}

/** The beginning of a text, in at most `width` columns. */
export function clipEnd(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  const parts = [...characters.segment(text)].map(({ segment }) => segment);
  return `${fitting(parts, Math.max(0, width - 1)).join("")}…`;
}

/** The first parts that fit together. A wide character is never cut in two. */
function fitting(parts: readonly string[], room: number): string[] {
  let left = room;
  const over = parts.findIndex((part) => (left -= Bun.stringWidth(part)) < 0);
  return parts.slice(0, over < 0 ? parts.length : over);
}
