import { KindGuard, type TSchema } from "@sinclair/typebox";
import { parse, TomlError } from "smol-toml";
import type * as parser from "toml-eslint-parser";
import { ConfigError } from "../config-error.ts";
import { ConfigSchema } from "../schema.ts";
import { type KeyPath, keyText, nearest } from "./key-path.ts";
import { decodeUtf8, readBounded } from "./text-file.ts";
import type { Tree } from "./tree.ts";

const FRAME_COLUMNS_MAX = 160;

export interface TomlFile {
  readonly tree: Tree;
  /** `name:line` of a key, or of the nearest key around it. */
  sourceOf(path: KeyPath): string | undefined;
}

/**
 * A TOML file of at most 1 MiB, or `undefined` without such a file. `name` is its name in messages.
 * @throws ConfigError with the line and column of invalid TOML
 */
export function readTomlFile(file: string, name: string): TomlFile | undefined {
  const bytes = readBounded(file, name);
  return bytes === undefined ? undefined : parseTomlFile(decodeUtf8(bytes, name), name);
}

function parseTomlFile(text: string, name: string): TomlFile {
  const tree = parseToml(text, name);
  let lines: ReadonlyMap<string, number> | undefined;
  return {
    tree,
    sourceOf(path) {
      lines ??= linesOf(text, name);
      const line = nearest(lines, path);
      return line === undefined ? undefined : `${name}:${line}`;
    },
  };
}

/** @throws ConfigError if the parser that knows the lines refuses a document that the other one accepts */
function linesOf(text: string, name: string): ReadonlyMap<string, number> {
  try {
    return tomlLines(text);
  } catch (error) {
    const { lineNumber, column } = error as { lineNumber?: unknown; column?: unknown };
    if (typeof lineNumber !== "number" || typeof column !== "number") throw error;
    // The parser's error may show the file's text, so it is neither quoted nor the cause.
    const source = `${name}:${lineNumber}:${column + 1}`;
    throw new ConfigError([{ source, key: "", message: "is not valid TOML: check the date or the start of the file" }]);
  }
}

function parseToml(text: string, name: string): Tree {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
    const message = `${reason}\n${maskFrame(error.codeblock)}`;
    // The parser's error shows the file's text, so it is not the cause.
    throw new ConfigError([{ source: `${name}:${error.line}:${error.column}`, key: "", message }]);
  }
}

/**
 * The frame of a syntax error with `*` for all but the configuration's own keys, quotes and brackets. An invalid file
 * may hold a secret anywhere. Columns stay the same.
 */
function maskFrame(frame: string): string {
  return frame
    .trimEnd()
    .split("\n")
    .map((line) => maskLine(line.trimEnd().slice(0, FRAME_COLUMNS_MAX)))
    .join("\n");
}

function maskLine(line: string): string {
  if (/^ *\^$/.test(line)) return line;
  const [, number = "", text = ""] = /^(\d+ *: {2})(.*)$/.exec(line) ?? [];
  const keys = /^[^=]*=(?!=)|^\s*\[.*\]\s*$/.exec(text)?.[0] ?? "";
  return (
    number +
    keys.replace(/[\w-]+/g, (word) => (KEYS.has(word) ? word : stars(word))).replace(/[^\w\s.=[\]"'*-]/g, "*") +
    text.slice(keys.length).replace(/[^\s[\]{},="']+/g, stars)
  );
}

function stars(text: string): string {
  return "*".repeat(text.length);
}

const KEYS: ReadonlySet<string> = new Set(keysOf(ConfigSchema));

/** The names of the schema's keys, at any depth. */
function keysOf(schema: TSchema): string[] {
  if (KindGuard.IsRecord(schema)) return Object.values(schema.patternProperties).flatMap(keysOf);
  if (!KindGuard.IsObject(schema)) return [];
  return [...Object.keys(schema.properties), ...Object.values(schema.properties).flatMap(keysOf)];
}

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
