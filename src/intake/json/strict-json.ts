import { NAMES_MAX, surveyStrings } from "./json-names.ts";
import { JsonScanner } from "./json-scanner.ts";
import { syntaxErrorOf } from "./json-syntax-error.ts";
import { JSON_DEPTH_MAX, StrictJsonError } from "./strict-json-error.ts";

export interface StrictJson {
  readonly value: unknown;
  /** The original text of a member of the top-level object, with the digits of its numbers and its inner spaces. */
  readonly textOf: (name: string) => string | undefined;
}

/**
 * Parses JSON that converts to a value without loss (I-JSON, RFC 7493, section 2). It must be UTF-8 without a byte
 * order mark. It must not have duplicate names (also with escapes), lone surrogates or numbers out of range. It has at
 * most JSON_DEPTH_MAX levels and `namesMax` different member names. Time is linear, and the stack bounded.
 * @throws StrictJsonError for the first violation
 */
export function parseStrictJson(bytes: Uint8Array, namesMax = NAMES_MAX): StrictJson {
  const text = decodeUtf8(bytes);
  const survey = surveyStrings(text, namesMax);
  let value: unknown;
  try {
    value = JSON.parse(survey.text);
  } catch {
    // The engine's message may quote the text, and has no line and column.
    throw new StrictJsonError(`is not valid JSON: ${syntaxErrorOf(text)}`);
  }
  // Comparing two counts is three times as fast as a scan, which only texts with a violation need.
  if (MAY_BE_SURROGATE.test(text) || countMembers(value, 0) !== survey.members) new JsonScanner(text).scan();
  return { value: survey.strip(value), textOf: (name) => new JsonScanner(text).scan(name) };
}

// An escape of any surrogate. Pairs are legal, so a match needs a scan.
const MAY_BE_SURROGATE = /\\u[dD][89a-fA-F]/;

function decodeUtf8(bytes: Uint8Array): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw new StrictJsonError("must not start with a byte order mark");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError("is not valid UTF-8");
  }
}

/** The members of all objects in a value; NaN, which equals no count, if a number or the depth is out of range. */
function countMembers(value: unknown, depth: number): number {
  if (typeof value === "number") return Number.isFinite(value) ? 0 : Number.NaN;
  if (typeof value !== "object" || value === null) return 0;
  if (depth === JSON_DEPTH_MAX) return Number.NaN;
  const children: unknown[] = Array.isArray(value) ? value : Object.values(value);
  let count = Array.isArray(value) ? 0 : children.length;
  for (const child of children) {
    if (typeof child !== "string") count += countMembers(child, depth + 1);
  }
  return count;
}
