import type { ObjectStore } from "../../jobs/object-store.ts";
import { checkBucket } from "./check-bucket.ts";
import { S3Client, type S3ClientOptions } from "./client/s3-client.ts";
import { listObjects, listUploads, ownPages } from "./list-objects.ts";
import { S3Objects } from "./s3-objects.ts";
import { type S3UploadOptions, S3Uploads } from "./upload/s3-uploads.ts";
import { removeUploaded } from "./upload/upload-verification.ts";

export interface S3StoreOptions extends S3ClientOptions, S3UploadOptions {}

/**
 * Objects in an S3 service. Each copy is proven before it counts as stored (copy-checks.ts). A body of known length up
 * to 5 GiB is one streaming PUT where the server takes its SHA-256 behind it; any other is an upload in parts, whose
 * `onOpen` is called a second time with its id. An `uploadId` of "" stands for every open upload of the key.
 */
export function createS3Store(options: S3StoreOptions): ObjectStore {
  const client = new S3Client(options);
  const objects = new S3Objects(client);
  const uploads = new S3Uploads(client, objects, options);

  return {
    storesLate: true,
    tryUpload: (bucket, signal) => uploads.tryUpload(bucket, signal),
    put: (ref, body, given) => uploads.put(ref, body, given),
    open: (ref, given) => uploads.open(ref, given),
    head: (ref, signal) => objects.head(ref, signal),
    read: (ref, signal) => objects.read(ref, signal),
    remove: (ref, signal) => objects.remove(ref, signal),
    removeUploaded: (ref, tokens, signal) => removeUploaded(client, ref, tokens, signal),
    abortUpload: (upload, signal) => objects.abortUpload(upload, signal),
    check: (bucket, signal) => checkBucket(client, bucket, signal),
    list: (bucket, prefix, signal) => listObjects(ownPages(client), { bucket, prefix }, signal),
    openUploads: (bucket, signal) => listUploads(client, bucket, signal),
    refuses: () => undefined,
    urlOf: ({ bucket, key }) => `s3://${bucket}/${key}`,
    refOf: (url) => {
      const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/s.exec(url) ?? [];
      return bucket === undefined || key === undefined ? undefined : { bucket, key };
    },
  };
}
