import type { Static, TSchema } from "@sinclair/typebox";
import type { TypeCheck } from "@sinclair/typebox/compiler";
import type { Violation } from "../../intake/intake-error.ts";
import { parseStrictJson } from "../../intake/json/strict-json.ts";
import { StrictJsonError } from "../../intake/json/strict-json-error.ts";
import { shapeViolations } from "../../intake/manifest/shape-violation.ts";
import { ApiError } from "./errors.ts";
import { readRequestBody, refuseOtherMediaTypes } from "./request-body.ts";

/** More than any operator's request needs. */
const BYTES_MAX = 256 * 1024;
const NAMES_MAX = 1000;

/**
 * The JSON of a small request.
 * @throws ApiError if it is not JSON, is too large, or does not have the shape; it lists every violation
 */
export async function readRequestJson<T extends TSchema>(
  request: Request,
  shape: TypeCheck<T>,
  bytesMax = BYTES_MAX,
): Promise<Static<T>> {
  refuseOtherMediaTypes(request);
  const value = parse(await readRequestBody(request, bytesMax));
  if (!shape.Check(value)) throw invalidBody(shapeViolations(shape, value));
  return value;
}

export function invalidBody(details: readonly Violation[]): ApiError {
  return new ApiError("INVALID_PAYLOAD", { details });
}

function parse(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes, NAMES_MAX).value;
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw invalidBody([{ path: error.path, message: error.message }]);
  }
}
