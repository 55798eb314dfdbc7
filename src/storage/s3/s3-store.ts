import { randomUUID } from "node:crypto";
import { CONNECTIONS_PER_KEY_MAX } from "../../http/idle-connections.ts";
import { Failure } from "../../jobs/failure.ts";
import { CHECK_FOLDER, keyProblem } from "../../jobs/object-key.ts";
import type {
  ObjectInfo,
  ObjectRef,
  ObjectStore,
  OpenUpload,
  PutOptions,
  StoredObject,
  Upload,
  UploadOptions,
} from "../../jobs/object-store.ts";
import type { ChecksumSetting } from "../checksum-setting.ts";
import { checkBucket } from "./check-bucket.ts";
import { cleanUp } from "./clean-up.ts";
import { createPermits } from "./client/permits.ts";
import { createS3Client, type S3ClientOptions, type S3Request } from "./client/s3-client.ts";
import { isCorruptCopy, S3Failure, unreachable } from "./client/s3-failure.ts";
import { ServerTraits } from "./client/server-traits.ts";
import { listObjects, listUploads, openUploadsOf, ownPages } from "./list-objects.ts";
import { bareEtag, type ConfiguredHeaders, labelsOf, objectHeaders, TOKEN_HEADER, withoutLocks } from "./metadata.ts";
import { objectStream } from "./object-stream.ts";
import { MultipartUpload } from "./upload/multipart-upload.ts";
import { PartBuffers } from "./upload/part-buffers.ts";
import { partBytesFor } from "./upload/part-size.ts";
import { PUT_BYTES_MAX, StreamingPut } from "./upload/streaming-put.ts";
import { removeUploaded, withdrawUploaded } from "./upload/upload-verification.ts";
import { VisibleRequests } from "./upload/visible-requests.ts";
import { putWhole } from "./upload/whole-put.ts";

export interface S3StoreOptions extends S3ClientOptions {
  /** Default `auto`. */
  readonly checksum?: ChecksumSetting;
  /** Size of the parts of an upload, 5 MiB at least; larger where an object would need too many. Default 8 MiB. */
  readonly partBytes?: number;
  /** Largest object, which decides the size of parts where an object's size is not known. Default 10 GiB. */
  readonly objectBytesMax?: number;
  /** For the buffers of all parts together. Default 512 MiB. */
  readonly bufferBytes?: number;
  readonly objectHeaders?: ConfiguredHeaders;
  /** Whether every body is signed: none is streamed then. */
  readonly signPayload?: boolean;
}

/** More small PUTs at a time would need more connections than are kept for the next ones. */
const PUTS_MAX = CONNECTIONS_PER_KEY_MAX;
const MIB = 1024 * 1024;
const PART_BYTES = 8 * MIB;
const OBJECT_BYTES_MAX = 10 * 1024 * MIB;
const BUFFER_BYTES = 512 * MIB;
/** Up to here a body is rather kept, sent whole at the end, and tried again, than streamed: 256 KiB. */
const KEPT_BYTES_MAX = 256 * 1024;

/**
 * Objects in an S3 service. Each copy is proven before it counts as stored (copy-checks.ts). A body of known length up
 * to 5 GiB is one streaming PUT where the server takes its SHA-256 behind it; any other is an upload in parts, whose
 * `onOpen` is called a second time with its id. An `uploadId` of "" stands for whatever is open under the key.
 */
export function createS3Store(options: S3StoreOptions): ObjectStore {
  const { checksum = "auto" } = options;
  const client = createS3Client(options);
  const puts = createPermits(PUTS_MAX);
  const buffers = new PartBuffers(options.bufferBytes ?? BUFFER_BYTES);
  const parts = { bytes: options.partBytes ?? PART_BYTES, objectBytesMax: options.objectBytesMax ?? OBJECT_BYTES_MAX };
  const traitsByBucket = new Map<string, ServerTraits>();

  /** Buckets come from the configuration, so that they are few. */
  function traitsOf(bucket: string): ServerTraits {
    const known = traitsByBucket.get(bucket);
    if (known !== undefined) return known;
    const traits = new ServerTraits(checksum, options.now);
    traitsByBucket.set(bucket, traits);
    return traits;
  }

  async function put(ref: ObjectRef, body: Uint8Array, given: PutOptions): Promise<StoredObject> {
    const { signal, sha256, token = randomUUID(), onBegin, onProbe } = given;
    const { bucket, key } = ref;
    checkKey(bucket, key);
    const headers = objectHeaders(given, options.objectHeaders);
    headers[TOKEN_HEADER] = token;
    const visible = new VisibleRequests(onBegin);
    const exchange = async (request: S3Request) => {
      signal.throwIfAborted();
      const release = puts.tryAcquire() ?? (await puts.acquire(signal));
      try {
        return await visible.run(() => client.exchange(request, signal));
      } finally {
        release();
      }
    };
    try {
      const traits = traitsOf(bucket);
      return await putWhole(client, { ref, body, sha256, headers, traits, signal, onProbe, exchange });
    } catch (error) {
      if (isCorruptCopy(error)) await withdrawUploaded(client, ref, token);
      throw error;
    }
  }

  async function open(ref: ObjectRef, given: UploadOptions): Promise<Upload> {
    const { signal, size, sha256, isRepeated, onOpen, token, onBegin, onProbe, onClosed, alone } = given;
    const tracking = { token, onBegin, onProbe, onClosed, alone };
    const { bucket, key } = ref;
    checkKey(bucket, key);
    const headers = objectHeaders(given, options.objectHeaders);
    const traits = traitsOf(bucket);
    signal.throwIfAborted();
    await onOpen({ bucket, key, uploadId: "" });
    if (size !== undefined && size > parts.bytes) {
      await traits.learn(client, { ref, headers, signal, onProbe }).catch((error: unknown) => {
        onClosed?.("");
        throw error;
      });
    }
    const mayStream = size !== undefined && size > KEPT_BYTES_MAX && size <= PUT_BYTES_MAX && isRepeated !== true;
    const canProve = checksum === "none" || (sha256 !== undefined && traits.takesTrailers);
    // A signature needs the bytes before they go out.
    if (mayStream && canProve && options.signPayload !== true) {
      onClosed?.(""); // a PUT leaves no parts
      const proof = checksum !== "none" && sha256 !== undefined && { sha256 };
      const streaming = { size, headers, traits, now: options.now, signal, ...tracking, ...proof };
      return new StreamingPut(client, ref, streaming);
    }
    return new MultipartUpload(client, ref, {
      size,
      headers,
      traits,
      buffers,
      partBytes: partBytesFor(parts, size),
      signal,
      ...tracking,
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

  async function tryUpload(bucket: string, signal: AbortSignal): Promise<void> {
    const ref = { bucket, key: `${CHECK_FOLDER}upload` };
    const ours = objectHeaders({ contentType: "text/plain" }, options.objectHeaders);
    const headers = { ...withoutLocks(ours), [TOKEN_HEADER]: randomUUID() };
    const exchange = (request: S3Request) => client.exchange(request, signal);
    const body = Buffer.from("FetchBox asks whether this bucket takes uploads.\n");
    await putWhole(client, { ref, body, headers, traits: traitsOf(bucket), signal, exchange });
    await cleanUp((own) => client.exchange({ method: "DELETE", ...ref }, own));
  }

  return {
    storesLate: true,
    tryUpload,
    put,
    open,
    head,
    read,
    remove,
    removeUploaded: (ref, tokens, signal) => removeUploaded(client, ref, tokens, signal),
    abortUpload,
    check: (bucket, signal) => checkBucket(client, bucket, signal),
    list: (bucket, prefix, signal) => listObjects(ownPages(client), { bucket, prefix }, signal),
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
