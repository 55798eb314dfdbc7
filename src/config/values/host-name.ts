import { parseNetwork } from "../../net/ip-address.ts";

/** A host's name, or `*.` and the end of one, with a port or without; an IPv6 address stands in brackets. */
export const HOST_PATTERN = "^(?:(?:\\*\\.)?[a-z0-9_-]+(?:\\.[a-z0-9_-]+)*|\\[[0-9a-f:.]+\\])(?::[0-9]{1,5})?$";

export const HOST_RULE =
  'must be a host\'s name in lower case: "cdn.example.com", "cdn.example.com:8443" or "*.example.com"';

/** Says what is wrong with one, or nothing. */
export function hostPatternProblem(text: string): string | undefined {
  return new RegExp(HOST_PATTERN).test(text) ? undefined : HOST_RULE;
}

/** Says what is wrong with a name that stands alone, or nothing. */
export function hostNameProblem(text: string): string | undefined {
  const isName = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(text);
  return isName ? undefined : "must be a host's name in lower case, without a port";
}

/** Says what is wrong with a network in CIDR notation, or nothing. */
export function networkProblem(text: string): string | undefined {
  try {
    parseNetwork(text);
    return undefined;
  } catch {
    return 'must be a network like "10.0.0.0/8" or "fd00::/8"; a single address is "10.1.2.3/32"';
  }
}
