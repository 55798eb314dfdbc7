import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors";
import { isHeaderName } from "../../net/request-header.ts";
import { numbered } from "../../std/counted.ts";
import { pointerStep } from "../../std/quote.ts";
import { VIOLATIONS_MAX, type Violation } from "../intake-error.ts";

/** The violations of a schema by a value, at most VIOLATIONS_MAX, one for each path. */
export function shapeViolations(shape: TypeCheck<TSchema>, value: unknown): Violation[] {
  const violations = new Map<string, Violation>();
  for (const error of shape.Errors(value)) {
    const steps = stepsOf(error.path);
    // An invalid name may be a whole header line with a secret; field-rules.ts reports it without repeating it.
    if (steps.at(-2) === "headers" && !isHeaderName(steps.at(-1) ?? "")) continue;
    // A missing value also has a wrong type; the first violation at a path is the useful one.
    if (violations.has(error.path)) continue;
    violations.set(error.path, { path: steps.map(pointerStep).join(""), message: messageFor(error) });
    if (violations.size === VIOLATIONS_MAX) break;
  }
  return [...violations.values()];
}

function stepsOf(pointer: string): string[] {
  const steps = pointer.split("/").slice(1);
  return steps.map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

const NOUNS: Partial<Record<ValueErrorType, string>> = {
  [ValueErrorType.Array]: "an array",
  [ValueErrorType.Boolean]: "true or false",
  [ValueErrorType.Object]: "an object",
  [ValueErrorType.String]: "a string",
};

function messageFor({ type, schema, message, value }: ValueError): string {
  if (type === ValueErrorType.ObjectAdditionalProperties) return "is an unknown field";
  if (type === ValueErrorType.ObjectRequiredProperty) return "is required";
  if (type === ValueErrorType.ArrayMinItems) return `must have at least ${numbered(schema["minItems"], "element")}`;
  if (type === ValueErrorType.ArrayMaxItems) return `must have at most ${numbered(schema["maxItems"], "element")}`;
  if (type === ValueErrorType.StringMinLength) {
    return `must have at least ${numbered(schema["minLength"], "character")}`;
  }
  if (type === ValueErrorType.StringMaxLength) {
    return `must have at most ${numbered(schema["maxLength"], "character")}`;
  }
  if (type === ValueErrorType.Literal) return `must be ${JSON.stringify(schema["const"])}`;
  if (type === ValueErrorType.Union) return `must be one of ${alternativesOf(schema).join(", ")}`;
  if (type >= ValueErrorType.IntegerExclusiveMaximum && type <= ValueErrorType.Integer) {
    return `must be a whole number ${rangeOf(schema)}`;
  }
  if (type >= ValueErrorType.NumberExclusiveMaximum && type <= ValueErrorType.Number) {
    return `must be a number ${rangeOf(schema)}`;
  }
  const noun = NOUNS[type];
  return noun === undefined ? message : `must be ${noun}, is ${nameOfType(value)}`;
}

function rangeOf(schema: TSchema): string {
  return `from ${schema["minimum"]} to ${schema["maximum"]}`;
}

function alternativesOf(schema: TSchema): string[] {
  const alternatives: unknown = schema["anyOf"];
  if (!Array.isArray(alternatives)) return [];
  return alternatives.map((alternative: TSchema) => JSON.stringify(alternative["const"]));
}

function nameOfType(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
