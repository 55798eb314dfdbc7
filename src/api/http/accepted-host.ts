import { isIP } from "node:net";

interface OwnNames {
  /** Where people find the service; empty: nobody said it. */
  readonly publicUrl: string;
  /** Further names, in lower case. */
  readonly hosts: readonly string[];
}

/**
 * Tells whether a `Host` header names this service: an address, `localhost`, the public URL's name or one of `hosts`,
 * with any port. A web page whose own name was made to resolve to the service (DNS rebinding) calls by that name.
 */
export function createAcceptedHost({ publicUrl, hosts }: OwnNames): (host: string) => boolean {
  const publicName = URL.parse(publicUrl)?.hostname;
  const names = new Set(publicName === undefined ? hosts : [...hosts, publicName]);
  return (host) => {
    const name = host.replace(/:\d*$/, "").toLowerCase();
    const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name.replace(/\.$/, "");
    // Every name below localhost is this machine's (RFC 6761).
    return isIP(bare) !== 0 || bare === "localhost" || bare.endsWith(".localhost") || names.has(bare);
  };
}
