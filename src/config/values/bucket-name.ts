import { isIP } from "node:net";

/** Says what is wrong with a bucket's name by the rules of AWS, or nothing. */
export function bucketNameProblem(name: string): string | undefined {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    return "must be a bucket name: 3 to 63 of a-z, 0-9, '-' and '.', starting and ending with a letter or digit";
  }
  return textProblem(name);
}

/** The same by the wider rules that other services keep for their older buckets. */
export function widerBucketNameProblem(name: string): string | undefined {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{2,254}$/.test(name)) {
    return "must be a bucket name: 3 to 255 of a-z, A-Z, 0-9, '-', '_' and '.', starting with a letter or digit";
  }
  return textProblem(name);
}

function textProblem(name: string): string | undefined {
  if (name.includes("..")) return "must be a bucket name without '..'";
  if (isIP(name) !== 0) return "must be a bucket name, not an IP address";
  return undefined;
}
