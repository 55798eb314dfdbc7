import type * as parser from "toml-eslint-parser";
import { type KeyPath, keyText } from "./key-path.ts";

/** Longer paths name no key of the configuration; their first parts are enough to find them. */
const PATH_MAX = 32;

/**
 * The line of every key, table header and list entry of a TOML document, by `keyText`. For anything else, ask for the
 * `nearest`. @throws the parser's ParseError
 */
export function tomlLines(toml: string): ReadonlyMap<string, number> {
  // Loaded here: a start without a problem needs no line.
  const { parseTOML } = require("toml-eslint-parser") as typeof parser;
  const lines = new Map<string, number>();
  for (const node of parseTOML(toml, { tomlVersion: "1.1" }).body[0].body) {
    if (node.type === "TOMLKeyValue") {
      noteEntry(lines, [], node);
      continue;
    }
    note(lines, node.resolvedKey, node);
    for (const entry of node.body) noteEntry(lines, node.resolvedKey, entry);
  }
  return lines;
}

function noteEntry(lines: Map<string, number>, table: KeyPath, { key, value }: parser.AST.TOMLKeyValue): void {
  const path = [...table, ...key.keys.map((part) => (part.type === "TOMLBare" ? part.name : part.value))];
  note(lines, path, key);
  noteValue(lines, path, value);
}

function noteValue(lines: Map<string, number>, path: KeyPath, value: parser.AST.TOMLContentNode): void {
  if (path.length >= PATH_MAX) return;
  if (value.type === "TOMLInlineTable") for (const entry of value.body) noteEntry(lines, path, entry);
  if (value.type !== "TOMLArray") return;
  for (const [at, element] of value.elements.entries()) {
    note(lines, [...path, at], element);
    noteValue(lines, [...path, at], element);
  }
}

/** The first mention of each step counts: `[a.b]` gives `a` a line too. */
function note(lines: Map<string, number>, path: KeyPath, { loc }: parser.AST.TOMLNode): void {
  for (let length = 1; length <= Math.min(path.length, PATH_MAX); length++) {
    const key = keyText(path.slice(0, length));
    if (!lines.has(key)) lines.set(key, loc.start.line);
  }
}
