import { isIP } from "node:net";
import { parseNetwork } from "../../net/ip-address.ts";

/** The problem of a bucket's name by the rules of AWS, or `undefined`. */
export function bucketNameProblem(name: string): string | undefined {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    return "must be a bucket name: 3 to 63 of a-z, 0-9, '-' and '.', starting and ending with a letter or digit";
  }
  return textProblem(name);
}

/** The problem of a bucket's name by the wider rules of other services, or `undefined`. */
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

/** A host's name, or `*.` and the end of a name, with an optional port; an IPv6 address has brackets. */
export const HOST_PATTERN = "^(?:(?:\\*\\.)?[a-z0-9_-]+(?:\\.[a-z0-9_-]+)*|\\[[0-9a-f:.]+\\])(?::[0-9]{1,5})?$";

export const HOST_RULE =
  'must be a host\'s name in lower case: "cdn.example.com", "cdn.example.com:8443" or "*.example.com"';

/** The problem of a host's pattern, or `undefined`. */
export function hostPatternProblem(text: string): string | undefined {
  return new RegExp(HOST_PATTERN).test(text) ? undefined : HOST_RULE;
}

/** The problem of a host's name, or `undefined`. */
export function hostNameProblem(text: string): string | undefined {
  const isName = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(text);
  return isName ? undefined : "must be a host's name in lower case, without a port";
}

/** The problem of a network in CIDR notation, or `undefined`. */
export function networkProblem(text: string): string | undefined {
  try {
    parseNetwork(text);
    return undefined;
  } catch {
    return 'must be a network like "10.0.0.0/8" or "fd00::/8"; a single address is "10.1.2.3/32"';
  }
}

/** The pattern of job types, which are folders in storage keys, and of proxy pools. */
export const NAME_PATTERN = "^(?!\\.{1,2}$)[a-z0-9._-]{1,64}$";

export const NAME_RULE = "must be named by 1 to 64 of a-z, 0-9, '-', '_' and '.', and not '.' or '..'";
