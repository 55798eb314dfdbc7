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

/** As much of a text as has room in a line, its beginning and its end: names differ at their ends. */
export function clipMiddle(text: string, width: number): string {
  const whole = Bun.stringWidth(text);
  if (whole <= width) return text;
  const tail = Math.floor((width - 1) * 0.6);
  return `${Bun.sliceAnsi(text, 0, Math.max(0, width - 1 - tail))}…${Bun.sliceAnsi(text, whole - tail, whole)}`;
}
