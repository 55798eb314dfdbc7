import type { ProxyServer } from "../../src/worker/download/proxies.ts";

/** An http proxy of a pool, with `user:password` if it wants them. */
export function proxyServer(url: string, credentials?: string): ProxyServer {
  const { hostname, port } = new URL(url);
  const authorization = credentials === undefined ? undefined : `Basic ${btoa(credentials)}`;
  return { url, kind: "http", host: hostname, port: Number(port || 80), authorization, credentials: undefined };
}
