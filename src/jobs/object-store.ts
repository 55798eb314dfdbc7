import type { ObjectAttributes } from "./object-attributes.ts";

/**
 * Where objects go. Two implementations, `local/` and `s3/`, pass one suite: test/contract/object-store.ts.
 *
 * The promise of every implementation: an object is visible under its key only when it is whole. An upload that fails,
 * is aborted or is killed before that leaves an older object of that key as it was. Every method throws a `Failure`, or
 * the abort reason of its signal, and no other error. An `UPLOAD_*` code is the bucket's trouble, and every task for
 * it waits. A failure of one object alone has another code: a body that is not as long as declared
 * `DOWNLOAD_SIZE_MISMATCH`, one that the backend cannot take `DOWNLOAD_TOO_LARGE`, a key that cannot be used
 * `HANDLER_ERROR`, one with another object in its way `STORAGE_KEY_CONFLICT`.
 */
export interface ObjectRef {
  readonly bucket: string;
  /** 1–1024 bytes of UTF-8, no empty, `.` or `..` segment, no control characters, no backslash. */
  readonly key: string;
}

export interface ObjectMeta {
  readonly contentType: string;
  /** The codings that the bytes are in, kept where the backend can carry them. The bytes are never coded or decoded. */
  readonly contentEncoding?: string | undefined;
  /** Names the writer (job and task), where the backend can carry it. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The attributes of the object by its job, where the backend can carry them. */
  readonly attributes?: ObjectAttributes | undefined;
  /** The type of the object's job, for which the configuration may have headers of its own. */
  readonly jobType?: string;
}

export interface StoredObject {
  readonly bytes: number;
  /** Without quotes; empty where the backend has no ETags. */
  readonly etag: string;
  /** The proof that the copy has the sent bytes: a digest, or only its size and its metadata. */
  readonly provenBy: "checksum" | "size";
}

export interface ObjectInfo extends ObjectRef {
  readonly bytes: number;
  readonly etag: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** An upload that a crash left unfinished, as start-up needs it for the removal: a multipart id or a temporary file. */
export interface OpenUpload extends ObjectRef {
  readonly uploadId: string;
}

/** One object being written. Exactly one of `commit` and `abort` ends it. */
export interface Upload {
  /** Takes one chunk; resolves when more may come (backpressure). The chunk must not be changed afterwards. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the object visible, durably. */
  commit(): Promise<StoredObject>;
  /** Ends the upload and removes its bytes. Idempotent, never throws; also after a failed or finished `commit`. */
  abort(): Promise<void>;
}

/** Callbacks by which an upload is found again that was aborted before its end was known. */
export interface UploadTracking {
  /** Names this upload among all others; the object carries it, where the backend can. */
  readonly token?: string | undefined;
  /**
   * Called with `true` just before a request that may make the object visible, and with `false` where the backend has
   * refused every such request for certain.
   */
  readonly onBegin?: ((mayStore: boolean) => void) | undefined;
  /**
   * Called with `true` when an upload without an `onOpen` may be open under the key, and with `false` when it is gone.
   * The upload waits for the promise; where that is rejected there is none.
   */
  readonly onProbe?: ((isOpen: boolean) => void | Promise<void>) | undefined;
  /**
   * Runs work only where no other upload of the key is under way, and lets no upload begin meanwhile. Absent: there is
   * no other upload.
   */
  readonly alone?: ((work: () => Promise<void>) => Promise<unknown>) | undefined;
}

export interface UploadOptions extends ObjectMeta, UploadTracking {
  /** Exact size in bytes, where it is known beforehand: lets the backend stream without parts. */
  readonly size?: number;
  /** Gives the SHA-256 in hex of all that was written, at the `commit`: lets the backend stream without parts. */
  readonly sha256?: () => string;
  /** An upload of this object has failed before: the backend keeps the bytes for another try, and does not stream. */
  readonly isRepeated?: boolean;
  readonly signal: AbortSignal;
  /** Awaited before the first byte goes out, with the data that start-up would need to clean up. */
  readonly onOpen: (upload: OpenUpload) => Promise<void>;
  /** Called when an upload that `onOpen` reported is no longer open. Until then it may be open. */
  readonly onClosed?: ((uploadId: string) => void) | undefined;
}

export interface PutOptions extends ObjectMeta, UploadTracking {
  readonly signal: AbortSignal;
  /** The body's SHA-256 in hex, where it is known: the backend need not compute it again. */
  readonly sha256?: string;
}

export interface ObjectStore {
  /** Whether an aborted request may store its object later: then the object carries the upload's token. */
  readonly storesLate: boolean;
  /** Stores a small object in one go. Durable and visible when it resolves. */
  put(ref: ObjectRef, body: Uint8Array, options: PutOptions): Promise<StoredObject>;
  open(ref: ObjectRef, options: UploadOptions): Promise<Upload>;
  /** `undefined` where there is no such object. */
  head(ref: ObjectRef, signal: AbortSignal): Promise<ObjectInfo | undefined>;
  /** The object's bytes; `undefined` where there is no such object. */
  read(ref: ObjectRef, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | undefined>;
  /** Idempotent: no error where there is no such object. */
  remove(ref: ObjectRef, signal: AbortSignal): Promise<void>;
  /** Removes the object if it carries one of these tokens; true where it did. */
  removeUploaded(ref: ObjectRef, tokens: ReadonlySet<string>, signal: AbortSignal): Promise<boolean>;
  /** All objects under a prefix, in key order, page by page. */
  list(bucket: string, prefix: string, signal: AbortSignal): AsyncIterable<Omit<ObjectInfo, "bucket" | "labels">>;
  /**
   * The open uploads in a bucket, of every client, as `abortUpload` takes them. A temporary file does not show its key:
   * the key is empty.
   */
  openUploads(bucket: string, signal: AbortSignal): AsyncIterable<OpenUpload>;
  /** Removes the remains of an upload after a crash. Idempotent. */
  abortUpload(upload: OpenUpload, signal: AbortSignal): Promise<void>;
  /**
   * Resolves with `undefined` if the bucket can be written to, as far as can be seen without writing. Resolves with the
   * reason for a doubt where that cannot be seen. Throws where it cannot be written to.
   */
  check(bucket: string, signal: AbortSignal): Promise<string | undefined>;
  /** Stores a small object under a key of its own, and removes it: resolves if uploads work. */
  tryUpload(bucket: string, signal: AbortSignal): Promise<void>;
  /** The reason why this backend cannot hold a key that object-key.ts allows, for example a too long file name. */
  refuses(key: string): string | undefined;
  /** How the object is named to clients: `s3://bucket/key` or `file:///…`. */
  urlOf(ref: ObjectRef): string;
  /** The object of a URL that `urlOf` gave; `undefined` for every other URL. */
  refOf(url: string): ObjectRef | undefined;
}
