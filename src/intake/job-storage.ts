import type { ObjectAttributes } from "../jobs/object-attributes.ts";
import type { ObjectRef } from "../jobs/object-store.ts";
import { storageKeysOf } from "../jobs/storage-keys.ts";
import type { Manifest, ManifestStorage } from "./manifest/manifest-schema.ts";

/** The places of a job's objects. */
export interface JobStorage {
  readonly bucket: string;
  /** Empty, or ends in `/`. A resource's key is the prefix followed by its id. */
  readonly resourceKeyPrefix: string;
  readonly manifest: ObjectRef;
  /** Attributes of the resources' objects, if the manifest has some; the manifest object never has them. */
  readonly attributes?: ObjectAttributes;
}

/** The places of a job's objects, from its manifest, with defaults from the bucket, the job type and the job id. */
export function jobStorage(manifest: Manifest, job: { jobId: string; jobType: string; bucket: string }): JobStorage {
  const { storage } = manifest;
  const bucket = storage?.bucket ?? job.bucket;
  const { resourceKeyPrefix, manifestKey } = storageKeysOf(job, {
    prefix: storage?.resource_key_prefix,
    manifestFile: storage?.manifest_file,
  });
  const attributes = attributesOf(storage);
  return {
    bucket,
    resourceKeyPrefix,
    manifest: { bucket, key: manifestKey },
    ...(attributes !== undefined && { attributes }),
  };
}

/** The attributes of the manifest; an empty map counts as absent. */
function attributesOf({ metadata = {}, tags = {}, class: storageClass }: ManifestStorage = {}) {
  const attributes: ObjectAttributes = {
    ...(Object.keys(metadata).length > 0 && { metadata }),
    ...(Object.keys(tags).length > 0 && { tags }),
    ...(storageClass !== undefined && { class: storageClass }),
  };
  return Object.keys(attributes).length > 0 ? attributes : undefined;
}
