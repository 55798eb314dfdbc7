/** Rules that storage keys and what they are made of obey, whatever the backend (contract: "Storage keys"). */

export const KEY_BYTES_MAX = 1024;
/** A file name's limit on the common file systems, where an object is a file. */
export const SEGMENT_BYTES_MAX = 255;

// C0, DEL and C1: none of them belongs in a file name or a URL.
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\\]/;

/** What nearly every path is: then there is nothing to look for. */
const SIMPLE = /^\w[\w.~-]*(?:\/\w[\w.~-]*)*$/;

/** Says what is wrong with a path of `/`-separated segments, or nothing. A trailing `/` is an empty segment. */
export function pathProblem(path: string): string | undefined {
  if (SIMPLE.test(path)) return undefined;
  if (path === "") return "must not be empty";
  if (!path.isWellFormed()) return "must not contain a lone surrogate";
  if (FORBIDDEN.test(path)) return "must not contain control characters or backslashes";
  for (const segment of path.split("/")) {
    if (segment === "") return "must not start or end with '/' or contain '//'";
    if (segment === "." || segment === "..") return "must not contain a '.' or '..' segment";
  }
  return undefined;
}

/** Where objects lie, within a bucket, that only try the storage, for a moment. */
export const CHECK_FOLDER = ".fetchbox-check/";

/** Says what is wrong with a storage key, or nothing. */
export function keyProblem(key: string): string | undefined {
  // A UTF-16 unit takes three bytes at most.
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX)
    return `must be at most ${KEY_BYTES_MAX} bytes`;
  return pathProblem(key);
}
