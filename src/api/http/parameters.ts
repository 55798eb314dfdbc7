import { NAME_PATTERN } from "../../config/values/name-rules.ts";
import { VIOLATIONS_MAX, type Violation } from "../../intake/intake-error.ts";
import { pointerStep } from "../../std/quote.ts";
import { ApiError } from "./errors.ts";

/** One parameter of a query or one header: its parser and its documentation. */
export interface Parameter<T> {
  /** JSON Schema for the OpenAPI document. */
  readonly schema: Readonly<Record<string, unknown>>;
  readonly description: string;
  readonly example?: string | number;
  /** The value of a text, or of an absent parameter. Throws an Error with the rule; it does not repeat the text. */
  parse(text: string | undefined): T;
}

export type Parameters = Readonly<Record<string, Parameter<unknown>>>;
export type Values<P extends Parameters> = { readonly [K in keyof P]: P[K] extends Parameter<infer T> ? T : never };

/** A parameter that is a whole number in decimal digits; `fallback` if absent. */
export function integer(
  { minimum, maximum, fallback }: { minimum: number; maximum: number; fallback: number },
  description: string,
): Parameter<number> {
  return {
    schema: { type: "integer", minimum, maximum, default: fallback },
    description,
    example: fallback,
    parse: (text) => {
      if (text === undefined) return fallback;
      const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      if (!(value >= minimum && value <= maximum)) {
        throw new Error(`must be a whole number between ${minimum} and ${maximum}`);
      }
      return value;
    },
  };
}

/** A parameter that is one of a few words; `undefined` if absent. */
export function choice<T extends string>(words: readonly T[], description: string): Parameter<T | undefined> {
  return {
    schema: { type: "string", enum: words },
    description,
    parse: (text) => {
      const word = words.find((candidate) => candidate === text);
      if (text !== undefined && word === undefined) throw new Error(`must be one of ${words.join(", ")}`);
      return word;
    },
  };
}

/** A parameter that matches a pattern; `rule` describes the pattern in words. */
export function text(
  pattern: RegExp,
  rule: string,
  description: string,
  example: string,
): Parameter<string | undefined> {
  return {
    schema: { type: "string", pattern: pattern.source },
    description,
    example,
    parse: (value) => {
      if (value !== undefined && !pattern.test(value)) throw new Error(rule);
      return value;
    },
  };
}

/** A parameter whose value is converted if it is given. */
export function mapped<T, U>(parameter: Parameter<T | undefined>, convert: (value: T) => U): Parameter<U | undefined> {
  return {
    ...parameter,
    parse: (text) => {
      const value = parameter.parse(text);
      return value === undefined ? undefined : convert(value);
    },
  };
}

const NAME = new RegExp(NAME_PATTERN);
const NAME_RULE = "must be 1 to 64 of a-z, 0-9, '-', '_' and '.'";

/** A parameter that is a name: a job type or a tenant. */
export function nameParameter(description: string, example: string): Parameter<string | undefined> {
  return text(NAME, NAME_RULE, description, example);
}

const IDEMPOTENCY_KEY = /^[!-~]{1,255}$/;
const IDEMPOTENCY_KEY_RULE = "must be 1 to 255 visible ASCII characters";

export function idempotencyKeyParameter(description: string): Parameter<string | undefined> {
  return text(IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_RULE, description, "order-4711");
}

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i;

/** A parameter that is a time (RFC 3339, section 5.6); its value is in milliseconds since the epoch. */
export function time(description: string): Parameter<number | undefined> {
  return {
    schema: { type: "string", format: "date-time" },
    description,
    example: "2026-11-23T00:00:00Z",
    parse: (value) => {
      if (value === undefined) return undefined;
      // A plus sign that was not percent-encoded arrives as a space.
      const text = value.replace(/ (?=\d\d:\d\d$)/, "+");
      const at = DATE_TIME.test(text) && isDay(text.slice(0, 10)) ? Date.parse(text.toUpperCase()) : Number.NaN;
      if (Number.isNaN(at) || text.slice(11, 13) === "24")
        throw new Error("must be a time like 2026-11-23T00:00:00Z (RFC 3339)");
      return at;
    },
  };
}

/** True if the day exists: `Date` reads the 30th of February as the 2nd of March. */
function isDay(text: string): boolean {
  const at = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(text);
}

/**
 * Reads a whole query. `at` is the path of the query in violations.
 * @throws ApiError INVALID_PAYLOAD with every violation
 */
export function readParameters<P extends Parameters>(parameters: P, query: URLSearchParams, at = "/query"): Values<P> {
  const violations: Violation[] = [];
  for (const name of new Set(query.keys())) {
    if (Object.hasOwn(parameters, name)) continue;
    const known = Object.keys(parameters).join(", ");
    const message = `is an unknown parameter; ${known === "" ? "there are none here" : `known ones: ${known}`}`;
    violations.push({ path: `${at}${pointerStep(name)}`, message });
    if (violations.length === VIOLATIONS_MAX) break;
  }
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(parameters)) {
    try {
      const [first, ...more] = query.getAll(name);
      if (more.length > 0) throw new Error("must not be given more than once");
      values[name] = parameter.parse(first);
    } catch (error) {
      violations.push({ path: `${at}/${name}`, message: error instanceof Error ? error.message : "is malformed" });
    }
  }
  if (violations.length > 0) {
    throw new ApiError("INVALID_PAYLOAD", { message: `the ${at.slice(1)} is invalid`, details: violations });
  }
  // Each value came from the parameter of its name.
  return values as Values<P>;
}
