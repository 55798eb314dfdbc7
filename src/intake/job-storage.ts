import type { ObjectRef } from "../jobs/object-store.ts";
import type { Manifest } from "./manifest-schema.ts";

/** What the manifest object is called where the manifest does not say. */
export const MANIFEST_FILE = "metadata.json";

/** Where a job's objects go. */
export interface JobStorage {
  readonly bucket: string;
  /** Empty or ends in `/`; a resource's key is this and its id. */
  readonly resourceKeyPrefix: string;
  readonly manifest: ObjectRef;
}

/** Places a job's objects by its manifest, and where that is silent by `bucket` and the job's name. */
export function jobStorage(manifest: Manifest, job: { jobId: string; jobType: string; bucket: string }): JobStorage {
  const { storage } = manifest;
  const bucket = storage?.bucket ?? job.bucket;
  const own = `${job.jobType}/${job.jobId}/`;
  const prefix = storage?.resource_key_prefix;
  return {
    bucket,
    resourceKeyPrefix: prefix ?? `resources/${own}`,
    manifest: { bucket, key: `${prefix ?? `manifests/${own}`}${storage?.manifest_file ?? MANIFEST_FILE}` },
  };
}
