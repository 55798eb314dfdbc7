import { type Logger, pino } from "pino";
import { MASK, visibleText } from "../std/visible-text.ts";
import { readableLine } from "./readable-line.ts";
import { type LogDestination, standardOutput } from "./standard-output.ts";

export type Log = Logger;

export interface LogOptions {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "fatal";
  /** "auto" is readable on a terminal, and JSON lines elsewhere. */
  readonly format: "auto" | "json" | "pretty";
  /** Whether the terminal shows colours; true by default. */
  readonly hasColours?: boolean;
  /** The destination of the lines; standard output by default. */
  readonly destination?: LogDestination;
}

/** The names of secret headers, in both usual spellings. */
const SECRET_NAMES = new Set(
  ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "token"].flatMap((name) => [
    name,
    name.replace(/(^|-)([a-z])/g, (letter) => letter.toUpperCase()),
  ]),
);

/**
 * The service's log: one JSON line per event, with an ISO time and the level's name. Field names are `job_id`,
 * `resource_id`, `task_id`, `trace_id`, `request_id`, and `err` for an error; a URL comes from `urlForLog`. Secret
 * headers are masked in a field of their name and one level below. A line never contains control characters or marks of
 * bidirectional text, whatever foreign text is in it.
 */
export function createLog({ level, format, destination = standardOutput(), hasColours = true }: LogOptions): Log {
  const readable = format === "pretty" || (format === "auto" && destination.isTerminal);
  const isColoured = destination.isTerminal && hasColours;
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: masked },
      serializers: { err: errorMembers },
    },
    {
      write: (line: string) => destination.write(readable ? readableLine(line, isColoured) : visibleText(line)),
    },
  );
}

/** The members of an error for the log. Pino's `type` is the class, whose name the build shortens. */
function errorMembers(error: unknown): unknown {
  return error instanceof Error ? { ...pino.stdSerializers.err(error), type: error.name } : error;
}

/** Masks secret fields. Pino's own `redact` parses its paths for each line and costs more than the rest of the line. */
function masked(fields: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const name in fields) {
    const value = fields[name];
    const safe = isSecret(name) ? MASK : maskedBelow(value);
    if (safe === value) continue;
    copy ??= { ...fields };
    copy[name] = safe;
  }
  return copy ?? fields;
}

/** The value itself, or a copy with its secret members masked. */
function maskedBelow(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !Object.keys(value).some(isSecret)) return value;
  return Object.fromEntries(
    Object.entries(errorMembers(value) as object).map(([name, each]) => [name, isSecret(name) ? MASK : each]),
  );
}

function isSecret(name: string): boolean {
  return SECRET_NAMES.has(name);
}
