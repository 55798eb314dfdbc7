import { mayBeSecret } from "../../net/request-header.ts";
import { MASK } from "../../std/visible-text.ts";
import type { ParsedManifest } from "./manifest.ts";
import type { Resource } from "./manifest-schema.ts";

/** The job that a manifest became. */
interface StoredManifestJob {
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The command that ran the job, if it was not the service: then no store has records of the job. */
  readonly command?: Command | undefined;
}

export type Command = "run";

/** The start of every manifest object that FetchBox writes. */
const START = /^\{"manifest_version":"v1","fetchbox":(\{[^{}]*\})/;
/** Enough bytes for the start with the longest names. */
const START_BYTES = 1024;

/**
 * The bytes of the manifest object: the accepted manifest, with a member `fetchbox` that names the job. `metadata` is
 * the text of the client; secret headers and the userinfo of URLs are masked.
 */
export function encodeStoredManifest({ manifest, metadataText }: ParsedManifest, job: StoredManifestJob): Uint8Array {
  const members: Record<string, string | undefined> = {
    manifest_version: JSON.stringify(manifest.manifest_version),
    fetchbox: JSON.stringify({
      job_id: job.jobId,
      job_type: job.jobType,
      tenant: job.tenant,
      created_at: new Date(job.createdAt).toISOString(),
      command: job.command,
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

/** The job id in the start of a manifest object that `fetchbox run` wrote; `undefined` for any other object. */
export function runInManifest(start: Uint8Array): string | undefined {
  const [, member] = START.exec(new TextDecoder().decode(start.subarray(0, START_BYTES))) ?? [];
  if (member === undefined) return undefined;
  try {
    const { job_id: jobId, command } = JSON.parse(member) as { job_id?: unknown; command?: unknown };
    return command === ("run" satisfies Command) && typeof jobId === "string" ? jobId : undefined;
  } catch {
    return undefined;
  }
}

function withoutSecrets(resource: Resource): Resource {
  // Nearly no resource has secrets.
  if (resource.headers === undefined && !resource.url.includes("@")) return resource;
  const url = maskUserinfo(resource.url);
  if (resource.headers === undefined) return { ...resource, url };
  const masked = Object.entries(resource.headers).map(([name, value]) => [name, mayBeSecret(name) ? MASK : value]);
  return { ...resource, url, headers: Object.fromEntries(masked) };
}

/**
 * Masks the userinfo of a URL (RFC 3986, section 3.2.1), which ends at the authority's last `@`. It works on the text,
 * so that the rest of the URL stays as it is.
 */
function maskUserinfo(url: string): string {
  return url.replace(/^(https?:\/\/)[^/\\?#]*@/i, `$1${MASK}@`);
}
