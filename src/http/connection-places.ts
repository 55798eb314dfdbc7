import type { Route, Target } from "./route.ts";
import type { TlsOptions } from "./transport/tls.ts";

/** Keys of the places that connections lead to: requests with the same key may share a connection. */
export class Places {
  readonly #listNumbers = new WeakMap<readonly string[], number>();
  #lists = 0;

  /**
   * The key of the connection that a request needs. A connection to an HTTP proxy serves plain requests to all hosts;
   * any other connection serves a single host, at `address`.
   */
  keyOf({ route, target }: { readonly route: Route; readonly target: Target }, address: string): string {
    const isAtProxy = route.kind === "http-proxy" && target.tls === undefined;
    const host = isAtProxy ? "" : `${address} ${target.port} ${this.#tlsKey(target.tls)}`;
    if (route.kind === "direct") return host;
    const tls = route.kind === "http-proxy" ? this.#tlsKey(route.tls) : "";
    return `${host} ${route.kind} ${route.addresses[0]} ${route.port} ${tls} ${credentialsOf(route) ?? ""}`;
  }

  /** Differs between plain and TLS connections, between server names, and between lists of authorities. */
  #tlsKey(tls: TlsOptions | undefined): string {
    return tls === undefined ? "-" : `tls:${tls.serverName ?? ""}:${this.#listNumber(tls.ca)}`;
  }

  /** A number for each list of authorities, by identity. */
  #listNumber(ca: readonly string[] | undefined): number {
    if (ca === undefined || ca.length === 0) return 0;
    const known = this.#listNumbers.get(ca) ?? ++this.#lists;
    this.#listNumbers.set(ca, known);
    return known;
  }
}

/** User and password of a proxy. Proxies choose sessions and countries by them, so both are part of the key. */
function credentialsOf(route: Exclude<Route, { readonly kind: "direct" }>): string | undefined {
  if (route.kind === "http-proxy") return route.authorization;
  return route.credentials && JSON.stringify([route.credentials.username, route.credentials.password]);
}
