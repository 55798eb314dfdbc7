import { readFileSync } from "node:fs";
import { KindGuard, type TSchema } from "@sinclair/typebox";
import { parse, TomlError } from "smol-toml";
import { ConfigError } from "../config-error.ts";
import { ConfigSchema } from "../schema.ts";
import { type KeyPath, nearest } from "./key-path.ts";
import { tomlLines } from "./toml-lines.ts";
import type { Tree } from "./tree.ts";

const FILE_BYTES_MAX = 2 ** 20;
const FRAME_COLUMNS_MAX = 160;

export interface TomlFile {
  readonly tree: Tree;
  /** `name:line` of a key, or of what is around it. */
  sourceOf(path: KeyPath): string | undefined;
}

/**
 * Reads a TOML file of at most 1 MiB. `name` is how messages call it. Undefined where there is none.
 * Throws `ConfigError` with line and column for what is no TOML.
 */
export function readTomlFile(file: string, name: string): TomlFile | undefined {
  const bytes = readBounded(file, name);
  return bytes === undefined ? undefined : parseTomlFile(decodeUtf8(bytes, name), name);
}

/** The bytes of a small file, or undefined where there is none. Throws `ConfigError` for what cannot be read. */
export function readBounded(file: string, name: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(file);
    if (bytes.length <= FILE_BYTES_MAX) return bytes;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new ConfigError([{ source: name, key: "", message: `cannot be read (${code})` }], { cause: error });
  }
  throw new ConfigError([{ source: name, key: "", message: `is larger than ${FILE_BYTES_MAX} bytes` }]);
}

/** The text of a file. Throws `ConfigError` that names the line of the first byte that is not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, name: string): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new ConfigError([{ source: `${name}:${badLine(bytes)}`, key: "", message: "is not valid UTF-8" }], {
      cause: error,
    });
  }
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

/** @throws ConfigError where the parser that knows the lines refuses a document that the other one takes */
function linesOf(text: string, name: string): ReadonlyMap<string, number> {
  try {
    return tomlLines(text);
  } catch (error) {
    const { lineNumber, column } = error as { lineNumber?: unknown; column?: unknown };
    if (typeof lineNumber !== "number" || typeof column !== "number") throw error;
    // Without the parser's message and error, which may show the file's text.
    const source = `${name}:${lineNumber}:${column + 1}`;
    throw new ConfigError([{ source, key: "", message: "is not valid TOML: check dates, and marks at the start" }]);
  }
}

function parseToml(text: string, name: string): Tree {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
    const message = `${reason}\n${maskFrame(error.codeblock)}`;
    // Without the parser's error as its cause: that one shows the file's text as it is.
    throw new ConfigError([{ source: `${name}:${error.line}:${error.column}`, key: "", message }]);
  }
}

/**
 * A file that cannot be parsed may hold a secret anywhere, so the frame shows its shape only: keys of the configuration
 * before a `=` or in a table's header, quotes and brackets. Columns stay where they are.
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

/** The names of the schema's own keys, at any depth. */
function keysOf(schema: TSchema): string[] {
  const inner = KindGuard.IsObject(schema)
    ? schema.properties
    : KindGuard.IsRecord(schema)
      ? schema.patternProperties
      : {};
  const own = KindGuard.IsObject(schema) ? Object.keys(inner) : [];
  return [...own, ...Object.values(inner).flatMap(keysOf)];
}

/** 0x0a is no part of a longer UTF-8 sequence, so each line can be tried alone. */
function badLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, start) < 0 ? bytes.length : bytes.indexOf(0x0a, start) + 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end;
  }
  return line;
}
