import { isIP } from "node:net";

/** Says what is wrong with a bucket's name by the rules of S3, or nothing. */
export function bucketNameProblem(name: string): string | undefined {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    return "must be a bucket name: 3 to 63 of a-z, 0-9, '-' and '.', starting and ending with a letter or digit";
  }
  if (name.includes("..")) return "must be a bucket name without '..'";
  if (isIP(name) !== 0) return "must be a bucket name, not an IP address";
  return undefined;
}
