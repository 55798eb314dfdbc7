import { Failure } from "../jobs/failure.ts";
import { keyProblem } from "../jobs/object-key.ts";
import type {
  ObjectInfo,
  ObjectRef,
  ObjectStore,
  OpenUpload,
  PutOptions,
  StoredObject,
  Upload,
  UploadOptions,
} from "../jobs/object-store.ts";
import { createS3Client, type S3ClientOptions } from "./client.ts";
import { listObjects, listUploads, openUploadsOf } from "./list-objects.ts";
import { bareEtag, type ConfiguredHeaders, labelsOf, objectHeaders } from "./metadata.ts";
import { createMultipart } from "./multipart.ts";
import { objectStream } from "./object-stream.ts";
import { createPermits } from "./permits.ts";
import { S3Failure, unreachable } from "./s3-failure.ts";
import { createStreamingPut, PUT_BYTES_MAX } from "./streaming-put.ts";

export interface S3StoreOptions extends S3ClientOptions {
  readonly objectHeaders?: ConfiguredHeaders;
}

/** More small PUTs at a time churn connections: fetch keeps 64 idle ones in all. */
const PUTS_MAX = 24;
/** Up to here a body is rather kept, sent whole at the end, and tried again, than streamed: 256 KiB. */
const KEPT_BYTES_MAX = 256 * 1024;

/**
 * Objects in an S3 service. A body of known length up to 5 GiB is one streaming PUT, any other a multipart upload, and
 * so is every one whose bytes are to be signed. The `onOpen` of such an upload is called a second time with its id; an
 * `uploadId` of "" stands for whatever is open under the key.
 */
export function createS3Store(options: S3StoreOptions): ObjectStore {
  const client = createS3Client(options);
  const puts = createPermits(PUTS_MAX);

  async function put(
    { bucket, key }: ObjectRef,
    body: Uint8Array,
    { signal, sha256, ...meta }: PutOptions,
  ): Promise<StoredObject> {
    checkKey(bucket, key);
    const headers = objectHeaders(meta, options.objectHeaders);
    const request = { method: "PUT", bucket, key, ...(sha256 !== undefined && { sha256 }) } as const;
    const answer = await client.retrying(async () => {
      const release = await puts.acquire(signal);
      try {
        return await client.exchange({ ...request, headers, body }, signal);
      } finally {
        release();
      }
    }, signal);
    return { bytes: body.byteLength, etag: bareEtag(answer.headers.get("etag")) };
  }

  async function open(ref: ObjectRef, { signal, size, onOpen, ...meta }: UploadOptions): Promise<Upload> {
    const { bucket, key } = ref;
    checkKey(bucket, key);
    const headers = objectHeaders(meta, options.objectHeaders);
    signal.throwIfAborted();
    await onOpen({ bucket, key, uploadId: "" });
    const isStreamed = options.signPayload !== true; // a signature needs the bytes before they go out
    if (isStreamed && size !== undefined && size > KEPT_BYTES_MAX && size <= PUT_BYTES_MAX) {
      return createStreamingPut(client, ref, { size, headers, signal });
    }
    return createMultipart(client, ref, {
      size,
      headers,
      signal,
      onCreate: (uploadId) => onOpen({ bucket, key, uploadId }),
      abortUpload: (uploadId, own) => abortUpload({ bucket, key, uploadId }, own),
    });
  }

  async function head({ bucket, key }: ObjectRef, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(bucket, key);
    return unlessMissing(["", "NoSuchKey"], async () => {
      const ask = () => client.exchange({ method: "HEAD", bucket, key }, signal);
      const { headers } = await client.retrying(ask, signal);
      const bytes = Number(headers.get("content-length"));
      return { bucket, key, bytes, etag: bareEtag(headers.get("etag")), labels: labelsOf(headers) };
    });
  }

  async function read({ bucket, key }: ObjectRef, signal: AbortSignal) {
    checkKey(bucket, key);
    const request = { method: "GET", bucket, key } as const;
    return unlessMissing(["NoSuchKey"], () =>
      client.retrying(async () => {
        const clock = client.deadline(request, signal);
        try {
          const response = await client.send(request, clock);
          const failure = (error: unknown) =>
            clock.signal.aborted ? clock.signal.reason : unreachable(request, response.address, error);
          return objectStream(response.body, clock, failure);
        } catch (error) {
          clock.end();
          throw error;
        }
      }, signal),
    );
  }

  async function remove({ bucket, key }: ObjectRef, signal: AbortSignal): Promise<void> {
    checkKey(bucket, key);
    const ask = () => client.exchange({ method: "DELETE", bucket, key }, signal);
    await unlessMissing(["", "NoSuchKey"], () => client.retrying(ask, signal));
  }

  async function abortUpload({ bucket, key, uploadId }: OpenUpload, signal: AbortSignal): Promise<void> {
    checkKey(bucket, key);
    const uploadIds = uploadId === "" ? await openUploadsOf(client, bucket, key, signal) : [uploadId];
    for (const id of uploadIds) {
      const ask = () => client.exchange({ method: "DELETE", bucket, key, query: { uploadId: id } }, signal);
      await unlessMissing(["NoSuchUpload"], () => client.retrying(ask, signal));
    }
  }

  async function check(bucket: string, signal: AbortSignal): Promise<void> {
    const missing = `S3 has no bucket ${bucket}: create the bucket or correct its name`;
    const found = await unlessMissing([""], () => client.exchange({ method: "HEAD", bucket }, signal));
    if (found === undefined) throw new Failure("UPLOAD_NO_SUCH_BUCKET", missing);
  }

  return {
    put,
    open,
    head,
    read,
    remove,
    abortUpload,
    check,
    list: (bucket, prefix, signal) => listObjects(client, bucket, prefix, signal),
    openUploads: (bucket, signal) => listUploads(client, bucket, signal),
    refuses: () => undefined,
    urlOf: ({ bucket, key }) => `s3://${bucket}/${key}`,
  };
}

/** Nothing where S3 answers 404 with one of these codes; "" is a 404 without a body, as to HEAD. */
async function unlessMissing<T>(s3Codes: readonly string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof S3Failure && error.httpStatus === 404 && s3Codes.includes(error.s3Code)) return undefined;
    throw error;
  }
}

function checkKey(bucket: string, key: string): void {
  const problem = keyProblem(key);
  if (problem !== undefined) throw new Failure("HANDLER_ERROR", `bucket ${bucket}: the key ${problem}`);
}
