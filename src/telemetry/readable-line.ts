import { visibleText } from "../std/visible-text.ts";

type Fields = Readonly<Record<string, unknown>>;

const LEVEL_COLOURS: Readonly<Record<string, string>> = { warn: "33", error: "31", fatal: "41;97" };
const LEVEL_WIDTH = 5;

/**
 * A line of the log for people: local time, level, message, then `key=value`. It stays one line without control
 * characters, whatever the values contain. An error becomes its message and the place where it was thrown.
 */
export function readableLine(json: string, isColoured: boolean): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Fields;
  const name = textOf(level).toUpperCase().padEnd(LEVEL_WIDTH);
  const paint = (text: string, colour: string | undefined) =>
    isColoured && colour !== undefined ? `\x1b[${colour}m${text}\x1b[0m` : text;
  const pairs = Object.entries(fields)
    .flatMap(([key, value]) => pairsOf(key, value))
    .map(([key, value]) => `${paint(`${safe(key)}=`, "2")}${quoted(value)}`);
  const message = safe(textOf(msg));
  return `${[localTime(textOf(time)), paint(name, LEVEL_COLOURS[textOf(level)]), message, ...pairs].join(" ")}\n`;
}

/** The pairs of a value; a nested member is named by its path: `failed.tokens=…`. */
function pairsOf(key: string, value: unknown): (readonly [string, string])[] {
  if (value === undefined) return [];
  if (typeof value !== "object" || value === null) return [[key, textOf(value)]];
  if (Array.isArray(value)) return [[key, value.every(isPlain) ? value.map(textOf).join(", ") : JSON.stringify(value)]];
  const { stack, ...members } = value as Fields;
  if (typeof stack !== "string" || !("message" in members)) {
    return Object.entries(members).flatMap(([name, member]) => pairsOf(`${key}.${name}`, member));
  }
  // `type` is the class's name, which the build may have shortened.
  const { type, name = type, message, ...more } = members;
  const place = placeOf(stack);
  return [
    [key, name === undefined || name === "Error" ? textOf(message) : `${textOf(name)}: ${textOf(message)}`],
    ...(place === undefined ? [] : [[`${key}.at`, place] as const]),
    ...Object.entries(more).flatMap(([name, member]) => pairsOf(`${key}.${name}`, member)),
  ];
}

/** The place where the innermost cause was thrown. */
function placeOf(stack: string): string | undefined {
  const first = stack.slice(Math.max(0, stack.lastIndexOf("\ncaused by:")));
  return /^\s*at (?:.*\()?([^()\n]+:\d+:\d+)\)?$/m.exec(first)?.[1];
}

function isPlain(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

function quoted(text: string): string {
  const shown = safe(text);
  return /^[^\s"=]+$/.test(shown) ? shown : `"${shown.replaceAll('"', '\\"')}"`;
}

/** The text in one line, without control characters. */
function safe(text: string): string {
  return visibleText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

function localTime(iso: string): string {
  const at = new Date(iso);
  const two = (value: number) => String(value).padStart(2, "0");
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  return `${clock}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
