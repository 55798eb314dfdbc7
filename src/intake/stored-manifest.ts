import { mayBeSecret } from "../jobs/request-header.ts";
import type { ParsedManifest } from "./manifest.ts";
import type { Resource } from "./manifest-schema.ts";

const MASK = "***";

/** The job that a manifest became. */
export interface StoredManifestJob {
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/**
 * The bytes of the manifest object: the manifest as it was accepted, with a member `fetchbox` that names the job.
 * `metadata` stands there as the client wrote it; secret headers and userinfo of URLs do not.
 */
export function encodeStoredManifest({ manifest, metadataText }: ParsedManifest, job: StoredManifestJob): Uint8Array {
  const members: Record<string, string | undefined> = {
    manifest_version: JSON.stringify(manifest.manifest_version),
    fetchbox: JSON.stringify({
      job_id: job.jobId,
      job_type: job.jobType,
      tenant: job.tenant,
      created_at: new Date(job.createdAt).toISOString(),
    }),
    storage: JSON.stringify(manifest.storage),
    metadata: metadataText ?? JSON.stringify(manifest.metadata),
    attributes: JSON.stringify(manifest.attributes),
    resources: JSON.stringify(manifest.resources.map(withoutSecrets)),
  };
  const text = Object.entries(members)
    .filter(([, json]) => json !== undefined)
    .map(([name, json]) => `"${name}":${json}`)
    .join(",");
  return new TextEncoder().encode(`{${text}}\n`);
}

function withoutSecrets(resource: Resource): Resource {
  // Nearly no resource has any.
  if (resource.headers === undefined && !resource.url.includes("@")) return resource;
  const url = maskUserinfo(resource.url);
  if (resource.headers === undefined) return { ...resource, url };
  const masked = Object.entries(resource.headers).map(([name, value]) => [name, mayBeSecret(name) ? MASK : value]);
  return { ...resource, url, headers: Object.fromEntries(masked) };
}

/** By the text, not by the parser, so that nothing else of the URL changes. Userinfo ends at the authority's last `@`. */
function maskUserinfo(url: string): string {
  return url.replace(/^(https?:\/\/)[^/\\?#]*@/i, `$1${MASK}@`);
}
