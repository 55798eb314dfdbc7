import { TypeCompiler } from "@sinclair/typebox/compiler";
import { numbered } from "../../std/counted.ts";
import { IntakeError, VIOLATIONS_MAX, type Violation } from "../intake-error.ts";
import { parseStrictJson, type StrictJson } from "../json/strict-json.ts";
import { StrictJsonError } from "../json/strict-json-error.ts";
import { normalChecksum } from "./field-rules.ts";
import { type ManifestLimits, ruleViolations } from "./manifest-rules.ts";
import { type Manifest, ManifestSchema } from "./manifest-schema.ts";
import { shapeViolations } from "./shape-violation.ts";

const SHAPE = TypeCompiler.Compile(ManifestSchema);

export interface ParsedManifest {
  readonly manifest: Manifest;
  /** `metadata` as the client wrote it: numbers keep their digits. */
  readonly metadataText: string | undefined;
}

/**
 * Parses the manifest in a request's decoded body; digests are converted to lower case.
 * @throws IntakeError INVALID_PAYLOAD with the violations, at most VIOLATIONS_MAX
 */
export function parseManifest(body: Uint8Array, limits: ManifestLimits): ParsedManifest {
  const json = parseJson(body);
  const manifest = checkManifest(json.value, limits);
  for (const resource of manifest.resources) {
    if (resource.checksum !== undefined) resource.checksum = normalChecksum(resource.checksum);
  }
  return { manifest, metadataText: manifest.metadata === undefined ? undefined : json.textOf("metadata") };
}

function checkManifest(value: unknown, limits: ManifestLimits): Manifest {
  const tooMany = countViolation(value, limits.maxResources);
  // Further violations of such a manifest are not worth the time to find them.
  if (tooMany !== undefined) throw invalidManifest([tooMany]);
  const isShaped = SHAPE.Check(value);
  const violations = isShaped ? [] : shapeViolations(SHAPE, value);
  if (violations.length < VIOLATIONS_MAX)
    violations.push(...ruleViolations(value, limits, VIOLATIONS_MAX - violations.length));
  if (!isShaped || violations.length > 0) throw invalidManifest(violations);
  return value;
}

function countViolation(value: unknown, maxResources: number): Violation | undefined {
  if (typeof value !== "object" || value === null || !("resources" in value)) return undefined;
  if (!Array.isArray(value.resources) || value.resources.length <= maxResources) return undefined;
  return {
    path: "/resources",
    message: `must have at most ${numbered(maxResources, "element")}, has ${value.resources.length}`,
  };
}

function invalidManifest(details: readonly Violation[]): IntakeError {
  return new IntakeError("INVALID_PAYLOAD", "the manifest is invalid", { details });
}

function parseJson(body: Uint8Array): StrictJson {
  try {
    return parseStrictJson(body);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const { path, message } = error;
    throw new IntakeError("INVALID_PAYLOAD", path === "" ? `the body ${message}` : "the manifest is invalid", {
      details: [{ path, message }],
    });
  }
}
