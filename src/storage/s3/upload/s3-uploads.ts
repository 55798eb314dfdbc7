import { randomUUID } from "node:crypto";
import { CONNECTIONS_PER_KEY_MAX } from "../../../http/idle-connections.ts";
import { CHECK_FOLDER } from "../../../jobs/object-key.ts";
import type { ObjectRef, PutOptions, StoredObject, Upload, UploadOptions } from "../../../jobs/object-store.ts";
import type { ChecksumSetting } from "../../checksum-setting.ts";
import { cleanUp } from "../clean-up.ts";
import { createPermits } from "../client/permits.ts";
import type { S3Client, S3Request } from "../client/s3-client.ts";
import { isCorruptCopy } from "../client/s3-failure.ts";
import { ServerTraits } from "../client/server-traits.ts";
import { type ConfiguredHeaders, objectHeaders, TOKEN_HEADER, withoutLocks } from "../metadata.ts";
import { assertUsableKey, type S3Objects } from "../s3-objects.ts";
import { MultipartUpload } from "./multipart-upload.ts";
import { PartBuffers } from "./part-buffers.ts";
import { partBytesFor } from "./part-size.ts";
import { PUT_BYTES_MAX, StreamingPut } from "./streaming-put.ts";
import { withdrawUploaded } from "./upload-verification.ts";
import { VisibleRequests } from "./visible-requests.ts";
import { putWhole } from "./whole-put.ts";

export interface S3UploadOptions {
  /** Default `auto`. */
  readonly checksum?: ChecksumSetting;
  /** Size of the parts of an upload, 5 MiB at least; larger where an object would need too many. Default 8 MiB. */
  readonly partBytes?: number;
  /** Largest object, which decides the size of parts where an object's size is not known. Default 10 GiB. */
  readonly objectBytesMax?: number;
  /** For the buffers of all parts together. Default 512 MiB. */
  readonly bufferBytes?: number;
  readonly objectHeaders?: ConfiguredHeaders;
  /** Whether every body is signed: then no body is streamed. */
  readonly signPayload?: boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** More small PUTs at a time would need more connections than are kept for the next ones. */
const PUTS_MAX = CONNECTIONS_PER_KEY_MAX;
const MIB = 1024 * 1024;
const PART_BYTES = 8 * MIB;
const OBJECT_BYTES_MAX = 10 * 1024 * MIB;
const BUFFER_BYTES = 512 * MIB;
/** Up to here a body is kept, sent whole at the end, and tried again; a larger one may be streamed: 256 KiB. */
const KEPT_BYTES_MAX = 256 * 1024;

/** Stores objects in S3, each by the way that fits its size and the server. */
export class S3Uploads {
  readonly #client: S3Client;
  readonly #objects: S3Objects;
  readonly #options: S3UploadOptions;
  readonly #checksum: ChecksumSetting;
  readonly #parts: { readonly bytes: number; readonly objectBytesMax: number };
  readonly #buffers: PartBuffers;
  readonly #puts = createPermits(PUTS_MAX);
  /** By bucket. Buckets come from the configuration, so that they are few. */
  readonly #traits = new Map<string, ServerTraits>();

  constructor(client: S3Client, objects: S3Objects, options: S3UploadOptions) {
    this.#client = client;
    this.#objects = objects;
    this.#options = options;
    this.#checksum = options.checksum ?? "auto";
    this.#parts = {
      bytes: options.partBytes ?? PART_BYTES,
      objectBytesMax: options.objectBytesMax ?? OBJECT_BYTES_MAX,
    };
    this.#buffers = new PartBuffers(options.bufferBytes ?? BUFFER_BYTES);
  }

  async put(ref: ObjectRef, body: Uint8Array, given: PutOptions): Promise<StoredObject> {
    const { signal, sha256, token = randomUUID(), onBegin, onProbe } = given;
    assertUsableKey(ref);
    const headers = objectHeaders(given, this.#options.objectHeaders);
    headers[TOKEN_HEADER] = token;
    const visible = new VisibleRequests(onBegin);
    const exchange = async (request: S3Request) => {
      signal.throwIfAborted();
      const release = this.#puts.tryAcquire() ?? (await this.#puts.acquire(signal));
      try {
        return await visible.run(() => this.#client.exchange(request, signal));
      } finally {
        release();
      }
    };
    try {
      const traits = this.#traitsOf(ref.bucket);
      return await putWhole(this.#client, { ref, body, sha256, headers, traits, signal, onProbe, exchange });
    } catch (error) {
      if (isCorruptCopy(error)) await withdrawUploaded(this.#client, ref, token);
      throw error;
    }
  }

  async open(ref: ObjectRef, given: UploadOptions): Promise<Upload> {
    const { signal, size, onOpen, onProbe, onClosed } = given;
    const { bucket, key } = ref;
    assertUsableKey(ref);
    const headers = objectHeaders(given, this.#options.objectHeaders);
    const traits = this.#traitsOf(bucket);
    signal.throwIfAborted();
    await onOpen({ bucket, key, uploadId: "" });
    if (size !== undefined && size > this.#parts.bytes) {
      await traits.learn(this.#client, { ref, headers, signal, onProbe }).catch((error: unknown) => {
        onClosed?.("");
        throw error;
      });
    }
    if (size !== undefined && this.#canStream(size, given, traits)) {
      return this.#openStreaming(ref, { size, headers, traits, given });
    }
    return this.#openMultipart(ref, { size, headers, traits, given });
  }

  /** Stores a small object of its own and removes it, to see whether a bucket takes uploads. */
  async tryUpload(bucket: string, signal: AbortSignal): Promise<void> {
    const ref = { bucket, key: `${CHECK_FOLDER}upload` };
    const ours = objectHeaders({ contentType: "text/plain" }, this.#options.objectHeaders);
    const headers = { ...withoutLocks(ours), [TOKEN_HEADER]: randomUUID() };
    const exchange = (request: S3Request) => this.#client.exchange(request, signal);
    const body = Buffer.from("FetchBox asks whether this bucket takes uploads.\n");
    await putWhole(this.#client, { ref, body, headers, traits: this.#traitsOf(bucket), signal, exchange });
    await cleanUp((own) => this.#client.exchange({ method: "DELETE", ...ref }, own));
  }

  #traitsOf(bucket: string): ServerTraits {
    const known = this.#traits.get(bucket);
    if (known !== undefined) return known;
    const traits = new ServerTraits(this.#checksum, this.#options.now);
    this.#traits.set(bucket, traits);
    return traits;
  }

  #canStream(size: number, { sha256, isRepeated }: UploadOptions, traits: ServerTraits): boolean {
    const mayStream = size > KEPT_BYTES_MAX && size <= PUT_BYTES_MAX && isRepeated !== true;
    const canProve = this.#checksum === "none" || (sha256 !== undefined && traits.takesTrailers);
    // A signature needs the bytes before they go out.
    return mayStream && canProve && this.#options.signPayload !== true;
  }

  #openStreaming(ref: ObjectRef, { size, headers, traits, given }: Opening & { readonly size: number }): Upload {
    const { signal, sha256, token, onBegin, onClosed } = given;
    onClosed?.(""); // a PUT leaves no parts
    const proof = this.#checksum !== "none" && sha256 !== undefined && { sha256 };
    const { now } = this.#options;
    return new StreamingPut(this.#client, ref, { size, headers, traits, now, signal, token, onBegin, ...proof });
  }

  #openMultipart(ref: ObjectRef, { size, headers, traits, given }: Opening): Upload {
    const { signal, token, onOpen, onBegin, onProbe, onClosed, alone } = given;
    const { bucket, key } = ref;
    return new MultipartUpload(this.#client, ref, {
      size,
      headers,
      traits,
      buffers: this.#buffers,
      partBytes: partBytesFor(this.#parts, size),
      signal,
      token,
      onBegin,
      onProbe,
      onClosed,
      alone,
      onCreate: (uploadId) => onOpen({ bucket, key, uploadId }),
      abortUpload: (uploadId, own) => this.#objects.abortUpload({ bucket, key, uploadId }, own),
    });
  }
}

interface Opening {
  readonly size: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly traits: ServerTraits;
  readonly given: UploadOptions;
}
