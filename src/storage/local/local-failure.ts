import { lstatSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { Failure, type NamedFailureCode } from "../../jobs/failure.ts";
import type { ObjectRef } from "../../jobs/object-store.ts";
import { errorText } from "../../std/error-text.ts";
import { isForeignLink } from "../../std/own-folder.ts";
import { shorten } from "../../std/quote.ts";

const CODES: Readonly<Record<string, NamedFailureCode>> = {
  ENOSPC: "UPLOAD_DISK_FULL",
  EDQUOT: "UPLOAD_DISK_FULL",
  EACCES: "UPLOAD_ACCESS_DENIED",
  EPERM: "UPLOAD_ACCESS_DENIED",
  EROFS: "UPLOAD_ACCESS_DENIED",
  // The key's own problem, not the bucket's.
  ENAMETOOLONG: "HANDLER_ERROR",
};

const REASONS: Readonly<Record<string, string>> = {
  ENAMETOOLONG: "the key is too long for this file system",
  EXDEV: "the bucket's folder is on another file system than the storage path",
};

/** A file stands where a key needs a folder, or the other way round. */
const IN_THE_WAY: ReadonlySet<string> = new Set(["EISDIR", "ENOTDIR", "EEXIST", "ENOTEMPTY"]);

/** The error number's name of a system call that failed, or `undefined`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The result of file system work; `undefined` where a file or a folder that it needs is missing. */
export async function ignoringAbsence<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/**
 * The failure of a task for a file system's error, in a storage whose buckets lie in `root`. A `Failure` and the
 * signal's reason pass as they are.
 */
export function localFailure(error: unknown, ref: ObjectRef, root: string, signal?: AbortSignal): unknown {
  if (error instanceof Failure) return error;
  if (signal?.aborted === true && error === signal.reason) return error;
  const errno = errnoOf(error) ?? "an unknown error";
  const obstacle = obstacleOf(root, ref.bucket);
  if (obstacle === undefined && IN_THE_WAY.has(errno)) {
    const conflict = conflictOf(root, ref, error);
    if (conflict !== undefined) return conflict;
  }
  const code = obstacle === undefined ? CODES[errno] : undefined;
  // The text of a system error starts with the number's name itself.
  const reason = obstacle ?? REASONS[errno] ?? errorText(error).replace(`${errno}: `, "");
  // A listing, as of the readiness check, has an empty key.
  const target = ref.key === "" ? "its objects" : shorten(ref.key);
  const message = `bucket ${ref.bucket}: cannot store or read ${target}: ${errno}: ${reason}`;
  return new Failure(code ?? "UPLOAD_UNAVAILABLE", message, { cause: error });
}

/**
 * The failure of a key that is a folder of another, or has one as its folder; `undefined` where its way is free.
 */
function conflictOf(root: string, { bucket, key }: ObjectRef, cause: unknown): Failure | undefined {
  const obstacle = obstacleOfKey(join(root, bucket), key);
  if (obstacle === undefined) return undefined;
  const rule = "on local storage no key can be a folder of another; choose other keys, or remove what is there";
  const message = `bucket ${bucket}: the key ${shorten(key)} cannot be stored: ${obstacle} is in its way; ${rule}`;
  return new Failure("STORAGE_KEY_CONFLICT", message, { cause });
}

/** The obstacle in the way of a key: an object, a link or a folder. */
function obstacleOfKey(bucketFolder: string, key: string): string | undefined {
  const segments = key.split("/");
  for (let length = 1; length <= segments.length; length++) {
    const path = segments.slice(0, length).join("/");
    const found = lookAt(join(bucketFolder, path));
    if (found === undefined) return undefined;
    if (length === segments.length) return found.isDirectory() ? `the folder ${shorten(`${path}/`)}` : undefined;
    if (!found.isDirectory()) return `${found.isFile() ? "the object" : "the link"} ${shorten(path)}`;
  }
  return undefined;
}

function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

/** The obstacle in the place of the storage's folder or the bucket's: that is no key's own problem. */
function obstacleOf(root: string, bucket: string): string | undefined {
  const bucketFolder = join(root, bucket);
  const found = lookAt(bucketFolder);
  if (found !== undefined && isForeignLink(found)) return `${bucketFolder} is another user's link; remove it`;
  const obstacle = [root, bucketFolder].find(isOtherThanFolder);
  return obstacle === undefined ? undefined : `${obstacle} is no folder`;
}

function isOtherThanFolder(path: string): boolean {
  try {
    return !statSync(path).isDirectory();
  } catch {
    return false; // missing or unreadable: the error at hand names the reason
  }
}
