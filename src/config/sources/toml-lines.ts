import { parse } from "smol-toml";
import { keyText } from "./key-path.ts";
import { isTree } from "./tree.ts";

/** Longer paths name nothing; their first parts are enough to find them. */
const PATH_MAX = 32;

/**
 * The line of every key and table header of a valid TOML document, by `keyText`. The parser says nothing about
 * positions. What stands inside an inline table or a list has no line of its own: ask for the `nearest`.
 */
export function tomlLines(toml: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  let table: readonly string[] = [];
  let line = 1;
  let at = 0;
  while (at < toml.length) {
    const end = statementEnd(toml, at);
    const statement = toml.slice(at, end);
    const header = /^[ \t]*\[{1,2}([^]*)$/.exec(statement)?.[1];
    if (header !== undefined) {
      table = keyPath(header.slice(0, keyEnd(header, "]")));
      note(lines, table, line);
    } else if (keyEnd(statement, "=") < statement.length) {
      note(lines, [...table, ...keyPath(statement.slice(0, keyEnd(statement, "=")))], line);
    }
    line += statement.split("\n").length - 1;
    at = end;
  }
  return lines;
}

/** The first mention of each step counts: `[a.b]` gives `a` a line too. */
function note(lines: Map<string, number>, path: readonly string[], line: number): void {
  for (let length = 1; length <= path.length; length++) {
    const key = keyText(path.slice(0, length));
    if (!lines.has(key)) lines.set(key, line);
  }
}

/** A statement ends at the first line end outside of strings and brackets. */
function statementEnd(toml: string, start: number): number {
  let depth = 0;
  for (let at = start; at < toml.length; at++) {
    const letter = toml[at];
    if (letter === '"' || letter === "'") at = stringEnd(toml, at) - 1;
    else if (letter === "#") at = lineEnd(toml, at) - 1;
    else if (letter === "[" || letter === "{") depth++;
    else if (letter === "]" || letter === "}") depth--;
    else if (letter === "\n" && depth <= 0) return at + 1;
  }
  return toml.length;
}

function lineEnd(toml: string, start: number): number {
  const end = toml.indexOf("\n", start);
  return end < 0 ? toml.length : end;
}

/** Just behind the closing quote of the string that opens at `start`. */
function stringEnd(toml: string, start: number): number {
  const quote = toml[start] ?? "";
  const long = quote.repeat(3);
  const isLong = toml.startsWith(long, start);
  const closing = isLong ? long : quote;
  let at = start + closing.length;
  while (at < toml.length && !toml.startsWith(closing, at)) at += quote === '"' && toml[at] === "\\" ? 2 : 1;
  at += closing.length;
  // Up to two more quotes may belong to the text of a long string.
  while (isLong && toml[at] === quote) at++;
  return Math.min(at, toml.length);
}

/** The first `stop` outside of quotes, or the text's length. */
function keyEnd(text: string, stop: string): number {
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (letter === stop) return at;
    if (letter === "#") return text.length;
    if (letter === '"' || letter === "'") at = stringEnd(text, at) - 1;
  }
  return text.length;
}

/** `a."b.c"` as its parts; the parser itself knows best how keys are quoted. */
function keyPath(key: string): readonly string[] {
  const path: string[] = [];
  let value: unknown = parse(`${key} = 0`);
  while (isTree(value) && path.length < PATH_MAX) {
    const name = Object.keys(value)[0] ?? "";
    path.push(name);
    value = value[name];
  }
  return path;
}
