import { isIP } from "node:net";

interface OwnNames {
  /** `server.public_url`; empty if it is not configured. */
  readonly publicUrl: string;
  /** `server.hosts`: further names, in lower case. */
  readonly hosts: readonly string[];
}

/**
 * Checks whether a `Host` header names this service: an address, `localhost`, the public URL's name or one of `hosts`,
 * with any port. The check stops DNS rebinding: a web page whose name resolves to the service sends that name.
 */
export function createAcceptedHost({ publicUrl, hosts }: OwnNames): (host: string) => boolean {
  const publicName = URL.parse(publicUrl)?.hostname;
  const names = new Set(publicName === undefined ? hosts : [...hosts, publicName]);
  return (host) => {
    const name = host.replace(/:\d*$/, "").toLowerCase();
    const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name.replace(/\.$/, "");
    // Every name below localhost is this machine's (RFC 6761, section 6.3).
    return isIP(bare) !== 0 || bare === "localhost" || bare.endsWith(".localhost") || names.has(bare);
  };
}
