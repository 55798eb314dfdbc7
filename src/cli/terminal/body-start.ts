import { clipEnd, printable } from "./terminal-text.ts";

const LINES_MAX = 5;
const HEX_LINES_MAX = 3;
const HEX_PER_LINE = 16;
/** Control characters that text does not have: all but tab, line feed, carriage return and escape. */
const NOT_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/;

/** The start of a body from its hexadecimal digits, in a few indented lines: as text, or else in hexadecimal digits. */
export function bodyStartText(hex: string, width: number | undefined): string {
  const bytes = Buffer.from(hex, "hex");
  const text = textOf(bytes);
  const lines = text === undefined ? hexLines(bytes) : textLines(text);
  const most = text === undefined ? HEX_LINES_MAX : LINES_MAX;
  const shown = lines.slice(0, most).map((line) => `  ${width === undefined ? line : clipEnd(line, width - 2)}\n`);
  return `${shown.join("")}${lines.length > most ? "  …\n" : ""}`;
}

/** `undefined` if the bytes are no text. The last character may be cut. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return NOT_TEXT.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function textLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map((line) => printable(line.replaceAll("\t", " ")).trimEnd())
    .filter((line) => line !== "");
}

function hexLines(bytes: Buffer): string[] {
  const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  return Array.from({ length: Math.ceil(pairs.length / HEX_PER_LINE) }, (_, at) =>
    pairs.slice(at * HEX_PER_LINE, (at + 1) * HEX_PER_LINE).join(" "),
  );
}
