import { ConfigError, type Problem } from "../config-error.ts";
import { decodeUtf8, readBounded } from "./text-file.ts";

export interface Variable {
  readonly value: string;
  /** `config/.env:3` or `environment NAME`. */
  readonly source: string;
}

export interface EnvFile {
  /** Absolute. */
  readonly file: string;
  /** The file's name in messages. */
  readonly name: string;
  /** Whether a missing file is an error. */
  readonly named: boolean;
}

/** The variables of .env and, above them, of the environment. Throws `ConfigError` if a named file is missing. */
export function readVariables(
  env: Readonly<Record<string, string | undefined>>,
  { file, name, named }: EnvFile,
  problems: Problem[],
): ReadonlyMap<string, Variable> {
  const fromFile = readEnvFile(file, name, problems);
  if (fromFile === undefined && named) {
    throw new ConfigError([{ source: name, key: "", message: "does not exist, but --env-file names it" }]);
  }
  const variables = new Map<string, Variable>();
  for (const [key, { value, line }] of fromFile ?? []) variables.set(key, { value, source: `${name}:${line}` });
  for (const [key, value] of Object.entries(env)) {
    if (value !== undefined) variables.set(key, { value, source: `environment ${key}` });
  }
  return variables;
}

interface EnvVariable {
  readonly value: string;
  readonly line: number;
}

const LINE = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/;

/**
 * The variables of a .env file, or `undefined` without such a file. It has `NAME=value`, `NAME="value"` with \n, \" and
 * \\, `NAME='value'` unchanged, `#` comments and an optional `export`. Each takes one line; nothing is substituted.
 */
function readEnvFile(file: string, name: string, problems: Problem[]): ReadonlyMap<string, EnvVariable> | undefined {
  const bytes = readBounded(file, name);
  return bytes === undefined ? undefined : parseEnvFile(decodeUtf8(bytes, name), name, problems);
}

/** The variables of a .env file's text. `problems` receives each other line, without its text. */
export function parseEnvFile(text: string, name: string, problems: Problem[]): ReadonlyMap<string, EnvVariable> {
  const variables = new Map<string, EnvVariable>();
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const source = `${name}:${index + 1}`;
    const [, key, rest = ""] = LINE.exec(line) ?? [];
    if (key === undefined) {
      problems.push({ source, key: "", message: "must be NAME=value or a comment" });
      continue;
    }
    const value = parseValue(rest);
    if (value === undefined)
      problems.push({ source, key, message: "must have a closing quote, followed by at most a comment" });
    else if (variables.has(key))
      problems.push({ source, key, message: `is already set in line ${variables.get(key)?.line}` });
    else variables.set(key, { value, line: index + 1 });
  }
  return variables;
}

function parseValue(text: string): string | undefined {
  if (text.startsWith("'")) return /^'([^']*)'[ \t]*(?:#.*)?$/.exec(text)?.[1];
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?$/.exec(text)?.[1];
    return quoted?.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
  }
  // A # starts a comment only after white space, because secrets often contain values like `a#b`.
  return text.replace(/(^|[ \t])#.*$/, "").trim();
}

/** The FETCHBOX_ variables that set no key of the configuration. */
export const OWN_VARIABLES = [
  "FETCHBOX_CONFIG",
  "FETCHBOX_SERVER",
  "FETCHBOX_TOKEN",
  "FETCHBOX_FAILPOINT",
  "FETCHBOX_UNSAFE_SYNCHRONOUS",
];

/** Whether a variable begins like one of FetchBox's and is not one of them. */
export function isUnknownVariable(name: string): boolean {
  return /^FETCHBOX_/i.test(name) && !/^FETCHBOX__/i.test(name) && !OWN_VARIABLES.includes(name);
}
