import type { Problem } from "../config-error.ts";
import { decodeUtf8, readBounded } from "./toml-file.ts";

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
