/** Rules for storage keys and their parts, for every backend (contract: "Storage keys"). */

export const KEY_BYTES_MAX = 1024;
/** A file name's limit on the common file systems, where an object is a file. */
export const SEGMENT_BYTES_MAX = 255;

/** An empty segment, `.` or `..`. */
const ODD_SEGMENT = /(?:^|\/)\.{0,2}(?:\/|$)/;
const EMPTY_SEGMENT = /^\/|\/$|\/\//;
// C0, DEL and C1: no file name and no URL should hold them.
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\\]/;

/** The violation of a path of `/`-separated segments, or `undefined`. A trailing `/` is an empty segment. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "must not be empty";
  if (!path.isWellFormed()) return "must not contain a lone surrogate";
  if (FORBIDDEN.test(path)) return "must not contain control characters or backslashes";
  if (!ODD_SEGMENT.test(path)) return undefined;
  if (EMPTY_SEGMENT.test(path)) return "must not start or end with '/' or contain '//'";
  return "must not contain a '.' or '..' segment";
}

/** The folder, within a bucket, of the short-lived objects that only try the storage. */
export const CHECK_FOLDER = ".fetchbox-check/";

/** The violation of a storage key, or `undefined`. */
export function keyProblem(key: string): string | undefined {
  // A UTF-16 unit takes three bytes at most.
  if (key.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(key) > KEY_BYTES_MAX)
    return `must be at most ${KEY_BYTES_MAX} bytes`;
  return pathProblem(key);
}
