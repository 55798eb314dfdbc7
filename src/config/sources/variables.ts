import { ConfigError, type Problem } from "../config-error.ts";
import { readEnvFile } from "./env-file.ts";

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
