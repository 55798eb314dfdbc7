import { IntakeError, type Violation } from "../../src/intake/intake-error.ts";
import { type ParsedManifest, parseManifest } from "../../src/intake/manifest/manifest.ts";
import type { ManifestLimits } from "../../src/intake/manifest/manifest-rules.ts";
import { createEgressPolicy } from "../../src/net/egress-policy.ts";

export const LIMITS: ManifestLimits = {
  maxResources: 1000,
  buckets: new Set(["artifacts", "other"]),
  pools: new Set(["residential-us"]),
  deniesLiteral: createEgressPolicy({ allowPrivate: [] }).deniesLiteral,
  refusesKey: () => undefined,
};

/** A manifest with one resource, whose fields are replaced or added by `resource`. */
export function manifestWith(resource: object, more: object = {}): object {
  return {
    manifest_version: "v1",
    ...more,
    resources: [{ id: "a.jpg", url: "https://example.com/a.jpg", ...resource }],
  };
}

export function parse(manifest: unknown, limits: Partial<ManifestLimits> = {}): ParsedManifest {
  return parseText(JSON.stringify(manifest), limits);
}

export function parseText(text: string, limits: Partial<ManifestLimits> = {}): ParsedManifest {
  return parseManifest(new TextEncoder().encode(text), { ...LIMITS, ...limits });
}

/** The violations for which a manifest is refused; none if it is accepted. Any other error is thrown on. */
export function violationsOf(act: () => unknown): readonly Violation[] {
  try {
    act();
    return [];
  } catch (error) {
    if (!(error instanceof IntakeError) || error.code !== "INVALID_PAYLOAD") throw error;
    if (error.details === undefined || error.details.length === 0) throw new Error("refused without a violation");
    return error.details;
  }
}
