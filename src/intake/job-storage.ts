import type { ObjectAttributes } from "../jobs/object-attributes.ts";
import type { ObjectRef } from "../jobs/object-store.ts";
import type { Manifest, ManifestStorage } from "./manifest/manifest-schema.ts";

/** What the manifest object is called where the manifest does not say. */
export const MANIFEST_FILE = "metadata.json";

/** Where a job's objects go. */
export interface JobStorage {
  readonly bucket: string;
  /** Empty or ends in `/`; a resource's key is this and its id. */
  readonly resourceKeyPrefix: string;
  readonly manifest: ObjectRef;
  /** What is kept with the objects of its resources, if the manifest says so; the manifest object has none of it. */
  readonly attributes?: ObjectAttributes;
}

/** Places a job's objects by its manifest, and where that is silent by `bucket` and the job's name. */
export function jobStorage(manifest: Manifest, job: { jobId: string; jobType: string; bucket: string }): JobStorage {
  const { storage } = manifest;
  const bucket = storage?.bucket ?? job.bucket;
  const own = `${job.jobType}/${job.jobId}/`;
  const prefix = storage?.resource_key_prefix;
  const attributes = attributesOf(storage);
  return {
    bucket,
    resourceKeyPrefix: prefix ?? `resources/${own}`,
    manifest: { bucket, key: `${prefix ?? `manifests/${own}`}${storage?.manifest_file ?? MANIFEST_FILE}` },
    ...(attributes !== undefined && { attributes }),
  };
}

/** An empty map says nothing. */
function attributesOf({ metadata = {}, tags = {}, class: storageClass }: ManifestStorage = {}) {
  const attributes: ObjectAttributes = {
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(Object.keys(tags).length > 0 && { tags }),
    ...(storageClass !== undefined && { class: storageClass }),
  };
  return Object.keys(attributes).length > 0 ? attributes : undefined;
}
