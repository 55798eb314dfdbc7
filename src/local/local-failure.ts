import { statSync } from "node:fs";
import { join } from "node:path";
import { Failure, type NamedFailureCode } from "../jobs/failure.ts";
import type { ObjectRef } from "../jobs/object-store.ts";

const CODES: Readonly<Record<string, NamedFailureCode>> = {
  ENOSPC: "UPLOAD_DISK_FULL",
  EDQUOT: "UPLOAD_DISK_FULL",
  EACCES: "UPLOAD_ACCESS_DENIED",
  EPERM: "UPLOAD_ACCESS_DENIED",
  EROFS: "UPLOAD_ACCESS_DENIED",
  // The key's own problem, not the bucket's: a file stands where it needs a folder, or the other way round.
  EISDIR: "HANDLER_ERROR",
  ENOTDIR: "HANDLER_ERROR",
  EEXIST: "HANDLER_ERROR",
  ENOTEMPTY: "HANDLER_ERROR",
  ENAMETOOLONG: "HANDLER_ERROR",
};

const REASONS: Readonly<Record<string, string>> = {
  EISDIR: "a folder with other objects is in the way of the key",
  ENOTDIR: "another object, or a link, is in the way of a folder of the key",
  EEXIST: "another object is in the way of a folder of the key",
  ENOTEMPTY: "a folder with other objects is in the way of the key",
  ENAMETOOLONG: "the key is too long for this file system",
  EXDEV: "the bucket's folder is on another file system than the storage path",
};

/** The error number's name of a system call that failed, or nothing. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * What a file system's error means for a task, in a storage whose buckets lie in `root`. A `Failure` and the signal's
 * reason pass as they are.
 */
export function localFailure(error: unknown, ref: ObjectRef, root: string, signal?: AbortSignal): unknown {
  if (error instanceof Failure) return error;
  if (signal?.aborted === true && error === signal.reason) return error;
  const errno = errnoOf(error) ?? "an unknown error";
  const obstacle = obstacleOf(root, ref.bucket);
  const code = obstacle === undefined ? CODES[errno] : undefined;
  const reason = obstacle ?? REASONS[errno] ?? (error instanceof Error ? error.message : String(error));
  const message = `bucket ${ref.bucket}: cannot store or read ${ref.key}: ${errno}: ${reason}`;
  return new Failure(code ?? "UPLOAD_UNAVAILABLE", message, { cause: error });
}

/** What stands where the storage's folder or the bucket's should be: that is no key's own problem. */
function obstacleOf(root: string, bucket: string): string | undefined {
  const obstacle = [root, join(root, bucket)].find(isOtherThanFolder);
  return obstacle === undefined ? undefined : `${obstacle} is no folder`;
}

function isOtherThanFolder(path: string): boolean {
  try {
    return !statSync(path).isDirectory();
  } catch {
    return false; // not there, or not to be seen: the error at hand says it
  }
}
