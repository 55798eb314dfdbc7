import { TypeCompiler } from "@sinclair/typebox/compiler";
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
 * The manifest in a request's decoded body. Throws an IntakeError with INVALID_PAYLOAD that names every broken rule,
 * up to BREACHES_MAX. Digests come out in lower case.
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
  const tooMany = countBreach(value, limits.maxResources);
  // Naming more breaches of it would cost more than it helps.
  if (tooMany !== undefined) throw invalidManifest([tooMany]);
  const isShaped = SHAPE.Check(value);
  const breaches = isShaped ? [] : shapeViolations(SHAPE, value);
  if (breaches.length < VIOLATIONS_MAX)
    breaches.push(...ruleViolations(value, limits, VIOLATIONS_MAX - breaches.length));
  if (!isShaped || breaches.length > 0) throw invalidManifest(breaches);
  return value;
}

function countBreach(value: unknown, maxResources: number): Violation | undefined {
  if (typeof value !== "object" || value === null || !("resources" in value)) return undefined;
  if (!Array.isArray(value.resources) || value.resources.length <= maxResources) return undefined;
  return { path: "/resources", message: `must have at most ${maxResources} elements, has ${value.resources.length}` };
}

function invalidManifest(details: readonly Violation[]): IntakeError {
  return new IntakeError("INVALID_PAYLOAD", "the manifest breaks a rule", { details });
}

function parseJson(body: Uint8Array): StrictJson {
  try {
    return parseStrictJson(body);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const { path, message } = error;
    throw new IntakeError("INVALID_PAYLOAD", path === "" ? `the body ${message}` : "the manifest breaks a rule", {
      details: [{ path, message }],
    });
  }
}
