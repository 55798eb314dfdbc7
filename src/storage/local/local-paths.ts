import { lstat, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Failure } from "../../jobs/failure.ts";
import { keyProblem, SEGMENT_BYTES_MAX } from "../../jobs/object-key.ts";
import type { ObjectRef } from "../../jobs/object-store.ts";
import { ignoringAbsence, localFailure } from "./local-failure.ts";

/** No bucket lies outside the path or is the folder of the temporaries. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Where buckets and objects lie below the storage's folder. */
export class LocalPaths {
  /** The storage's folder, absolute. */
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** @throws Failure UPLOAD_NO_SUCH_BUCKET where no folder can have that name */
  folderOf(bucket: string): string {
    if (BUCKET.test(bucket)) return join(this.root, bucket);
    throw new Failure("UPLOAD_NO_SUCH_BUCKET", `"${bucket}" cannot be a bucket of the local storage`);
  }

  /** @throws Failure HANDLER_ERROR where no file can have that key */
  fileOf({ bucket, key }: ObjectRef): string {
    const problem = keyProblem(key) ?? segmentProblem(key);
    if (problem !== undefined) throw new Failure("HANDLER_ERROR", `bucket ${bucket}: the key ${problem}`);
    return join(this.folderOf(bucket), key);
  }

  /** The object whose file this is; `undefined` for a file elsewhere. */
  refOf(file: string): ObjectRef | undefined {
    if (!file.startsWith(`${this.root}/`)) return undefined;
    const inside = file.slice(this.root.length + 1);
    const slash = inside.indexOf("/");
    return slash < 0 ? undefined : { bucket: inside.slice(0, slash), key: inside.slice(slash + 1) };
  }

  /** The file of an object, or `undefined` where there is no object; never through a link inside the bucket. */
  async find(ref: ObjectRef): Promise<string | undefined> {
    const file = this.fileOf(ref);
    const bucketFolder = this.folderOf(ref.bucket);
    return ignoringAbsence(async () => {
      const inside = dirname(file).slice(bucketFolder.length);
      if ((await realpath(dirname(file))) !== (await realpath(bucketFolder)) + inside) return undefined;
      return (await lstat(file)).isFile() ? file : undefined;
    });
  }

  /** Runs file system work; it throws a `Failure` or the signal's reason, and no other error. */
  async guarded<T>(ref: ObjectRef, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    try {
      signal.throwIfAborted();
      return await work();
    } catch (error) {
      throw localFailure(error, ref, this.root, signal);
    }
  }
}

/** The reason why no file can have that key, or `undefined`. */
export function segmentProblem(key: string): string | undefined {
  // A UTF-16 unit takes three bytes at most.
  if (key.length * 3 <= SEGMENT_BYTES_MAX) return undefined;
  const isTooLong = key.split("/").some((segment) => Buffer.byteLength(segment) > SEGMENT_BYTES_MAX);
  return isTooLong ? `must have at most ${SEGMENT_BYTES_MAX} bytes between two '/'` : undefined;
}
