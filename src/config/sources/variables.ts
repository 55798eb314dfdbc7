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
  /** How messages call it. */
  readonly name: string;
  /** Whether it is an error if there is none. */
  readonly named: boolean;
}

/** The variables of .env and, above them, of the environment. Throws `ConfigError` where a named file is missing. */
export function readVariables(
  env: Readonly<Record<string, string | undefined>>,
  { file, name, named }: EnvFile,
  problems: Problem[],
): ReadonlyMap<string, Variable> {
  const fromFile = readEnvFile(file, name, problems);
  if (fromFile === undefined && named) {
    throw new ConfigError([{ source: name, key: "", message: "does not exist, and --env-file names it" }]);
  }
  const variables = new Map<string, Variable>();
  for (const [key, { value, line }] of fromFile ?? []) variables.set(key, { value, source: `${name}:${line}` });
  for (const [key, value] of Object.entries(env)) {
    if (value !== undefined) variables.set(key, { value, source: `environment ${key}` });
  }
  return variables;
}

export interface EnvVariable {
  readonly value: string;
  readonly line: number;
}

const LINE = /^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*(.*)$/;

/**
 * Reads a .env file: `NAME=value`, `NAME="value"` with \n, \" and \\, `NAME='value'` as it stands, `#` comments,
 * an optional `export`. One line each, nothing is substituted. Undefined where there is no such file.
 */
export function readEnvFile(
  file: string,
  name: string,
  problems: Problem[],
): ReadonlyMap<string, EnvVariable> | undefined {
  const bytes = readBounded(file, name);
  return bytes === undefined ? undefined : parseEnvFile(decodeUtf8(bytes, name), name, problems);
}

/** The variables of a .env file's text; what is no variable is told to `problems`, without its text. */
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
      problems.push({ source, key, message: "must have one closing quote, and nothing but a comment behind it" });
    else if (variables.has(key))
      problems.push({ source, key, message: `is set already in line ${variables.get(key)?.line}` });
    else variables.set(key, { value, line: index + 1 });
  }
  return variables;
}

function parseValue(text: string): string | undefined {
  if (text.startsWith("'")) return /^'([^']*)'[ \t]*(?:#.*)?$/.exec(text)?.[1];
  if (text.startsWith('"')) {
    const quoted = /^"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?$/.exec(text)?.[1];
    return quoted?.replace(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
  }
  // A # starts a comment only behind white space: values like `a#b` are common in secrets.
  return text.replace(/(^|[ \t])#.*$/, "").trim();
}

/** Variables of ours that are no keys of the configuration. */
export const OWN_VARIABLES = [
  "FETCHBOX_CONFIG",
  "FETCHBOX_SERVER",
  "FETCHBOX_TOKEN",
  "FETCHBOX_FAILPOINT",
  "FETCHBOX_UNSAFE_SYNCHRONOUS",
];

/** Whether a variable is named like ours, and means nothing. */
export function isStray(name: string): boolean {
  return /^FETCHBOX_/i.test(name) && !/^FETCHBOX__/i.test(name) && !OWN_VARIABLES.includes(name);
}
