import { type Logger, pino } from "pino";
import { visibleText } from "../std/visible-text.ts";
import { readableLine } from "./readable-line.ts";
import { type LogDestination, standardOutput } from "./standard-output.ts";

export type Log = Logger;

export interface LogOptions {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "fatal";
  /** "auto": readable on a terminal, JSON lines elsewhere. */
  readonly format: "auto" | "json" | "pretty";
  /** On a terminal that shows colours; everywhere by default. */
  readonly hasColours?: boolean;
  /** Where the lines go; standard output by default. */
  readonly destination?: LogDestination;
}

/** In the two spellings that headers have. */
const SECRET_NAMES = new Set(
  ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "token"].flatMap((name) => [
    name,
    name.replace(/(^|-)([a-z])/g, (letter) => letter.toUpperCase()),
  ]),
);

/**
 * The service's log: one JSON line per event, with an ISO time and the level's name. Fields go by `job_id`,
 * `resource_id`, `task_id`, `trace_id` and `request_id`; an error by `err`; a URL only as `urlForLog` gives it. Values
 * of secret headers are masked in a field of that name and one level below. Whatever words from outside are in a line,
 * it holds no control character and no mark of bidirectional text.
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
    },
    {
      write: (line: string) => destination.write(readable ? readableLine(line, isColoured) : visibleText(line)),
    },
  );
}

/** Not pino's own `redact`: it takes its paths apart for every line, and cost more than all the rest of the line. */
function masked(fields: Record<string, unknown>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const [name, value] of Object.entries(fields)) {
    const safe = isSecret(name) ? "***" : maskedBelow(value);
    if (safe === value) continue;
    copy ??= { ...fields };
    copy[name] = safe;
  }
  return copy ?? fields;
}

/** The value itself, unless a member of it is secret. */
function maskedBelow(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !Object.keys(value).some(isSecret)) return value;
  const members = value instanceof Error ? pino.stdSerializers.err(value) : value;
  return Object.fromEntries(Object.entries(members).map(([name, each]) => [name, isSecret(name) ? "***" : each]));
}

function isSecret(name: string): boolean {
  return SECRET_NAMES.has(name);
}
