import type { TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors";
import { isHeaderName } from "../../net/request-header.ts";
import { pointerStep } from "../../std/quote.ts";
import { VIOLATIONS_MAX, type Violation } from "../intake-error.ts";

/** Where and how a value has not the shape of a schema: at most BREACHES_MAX, one for each place. */
export function shapeViolations(shape: TypeCheck<TSchema>, value: unknown): Violation[] {
  const breaches = new Map<string, Violation>();
  for (const error of shape.Errors(value)) {
    const steps = stepsOf(error.path);
    // A name that is none may be a whole header line, secret included; field-rules.ts tells of it without repeating it.
    if (steps.at(-2) === "headers" && !isHeaderName(steps.at(-1) ?? "")) continue;
    // What is missing has no type either; the first complaint about a place is the one that helps.
    if (breaches.has(error.path)) continue;
    breaches.set(error.path, { path: steps.map(pointerStep).join(""), message: messageFor(error) });
    if (breaches.size === VIOLATIONS_MAX) break;
  }
  return [...breaches.values()];
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
  if (type === ValueErrorType.ObjectAdditionalProperties) return "is not a known field";
  if (type === ValueErrorType.ObjectRequiredProperty) return "is required";
  if (type === ValueErrorType.ArrayMinItems) return `must have at least ${schema["minItems"]} element`;
  if (type === ValueErrorType.Literal) return `must be ${JSON.stringify(schema["const"])}`;
  if (type === ValueErrorType.Union) return `must be one of ${alternativesOf(schema).join(", ")}`;
  if (type >= ValueErrorType.IntegerExclusiveMaximum && type <= ValueErrorType.Integer) {
    return `must be a whole number from ${schema["minimum"]} to ${schema["maximum"]}`;
  }
  const noun = NOUNS[type];
  return noun === undefined ? message : `must be ${noun}, is ${nameOfType(value)}`;
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
