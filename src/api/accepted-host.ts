import { isIP } from "node:net";

/**
 * Whether a `Host` header is one under which a service on a loopback address is called: an address or `localhost`.
 * A web page whose own name resolves to 127.0.0.1 (DNS rebinding) calls by that name.
 */
export function isLoopbackCaller(host: string): boolean {
  const name = host.replace(/:\d*$/, "").toLowerCase();
  const bare = name.startsWith("[") && name.endsWith("]") ? name.slice(1, -1) : name;
  return isIP(bare) !== 0 || name === "localhost" || name.endsWith(".localhost");
}
