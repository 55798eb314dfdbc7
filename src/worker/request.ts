import { isIP } from "node:net";
import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import { type Addresses, portOf } from "./addresses.ts";
import { fetchFailure, isConnectFailure, isProxyFailure, isTunnelRefused } from "./fetch-failure.ts";
import type { ProxyEndpoint } from "./proxies.ts";
import { type ClosingHosts, endsByClose, getUntilClose, invalidStatus } from "./until-close.ts";

export interface RequestDeps {
  readonly addresses: Addresses;
  /** Longest time to connect, and longest silence before the answer's headers. */
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly headerBytesMax: number;
  readonly closingHosts: ClosingHosts;
  readonly clock: Clock;
}

/** What became known of an attempt on its way, whether it ends well or not. */
export interface AttemptTrace {
  address: string;
  /** Without credentials. */
  proxy: string;
  httpStatus: number;
  bytes: number;
}

/** One hop's way out: straight, or through an endpoint of a proxy pool. */
export type Route = ProxyEndpoint | "straight";

/** The proxy of this hop failed, not the host: another endpoint may do better. */
export class ProxyFailureError extends Error {
  override readonly name = "ProxyFailureError";
  /** It answers, but would not, or could not, open a tunnel to this host; for others it may. */
  readonly isAboutHost: boolean;

  constructor(cause: unknown) {
    super("the proxy failed", { cause });
    this.isAboutHost = isTunnelRefused(cause);
  }
}

/**
 * One GET to an address that was checked (D6): the address stands in the URL, the name in `Host` and in TLS. Tries the
 * next address where a connection is refused. A host that says nothing for too long stops the attempt.
 * @throws Failure, ProxyFailureError, or the signal's reason
 */
export async function request(
  url: URL,
  headers: Readonly<Record<string, string>>,
  route: Route,
  trace: AttemptTrace,
  stop: AbortController,
  deps: RequestDeps,
): Promise<Response> {
  const { signal } = stop;
  trace.address = "";
  trace.httpStatus = 0;
  const addresses = await deps.addresses(url, signal);
  let refused: unknown;
  for (const address of addresses) {
    trace.address = address;
    try {
      const response = await send(url, address, headers, route, stop, deps);
      trace.httpStatus = response.status;
      return checkHead(response, deps.headerBytesMax);
    } catch (error) {
      signal.throwIfAborted();
      if (route !== "straight" && isProxyFailure(error)) {
        throw new ProxyFailureError(error);
      }
      if (!isConnectFailure(error)) throw fetchFailure(error, signal);
      refused = error;
    }
  }
  throw fetchFailure(refused, signal);
}

async function send(
  url: URL,
  address: string,
  headers: Readonly<Record<string, string>>,
  route: Route,
  stop: AbortController,
  deps: RequestDeps,
): Promise<Response> {
  const limitMs = deps.connectTimeoutMs + deps.idleTimeoutMs;
  const timer = deps.clock.after(limitMs, () => {
    stop.abort(new Failure("DOWNLOAD_TIMEOUT", `no answer within ${limitMs} ms`));
  });
  try {
    return route === "straight"
      ? await sendStraight(url, address, headers, stop.signal, deps)
      : await sendByFetch(url, address, headers, proxyOption(route), stop.signal);
  } finally {
    timer.cancel();
  }
}

/** By fetch, unless nothing but the end of the connection would tell where the body ends. */
async function sendStraight(
  url: URL,
  address: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  deps: RequestDeps,
): Promise<Response> {
  if (!deps.closingHosts.has(url.host)) {
    const response = await sendByFetch(url, address, headers, false, signal);
    if (!response.ok || !endsByClose(response.headers) || response.body === null) return response;
    discardBody(response);
    deps.closingHosts.add(url.host);
  }
  const serverName = serverNameOf(url);
  const { headerBytesMax } = deps;
  return getUntilClose({ url, address, port: portOf(url), headers, serverName, headerBytesMax, signal });
}

function sendByFetch(
  url: URL,
  address: string,
  headers: Readonly<Record<string, string>>,
  proxy: false | ReturnType<typeof proxyOption>,
  signal: AbortSignal,
): Promise<Response> {
  const host = isIP(address) === 6 ? `[${address}]` : address;
  const serverName = serverNameOf(url);
  return fetch(`${url.protocol}//${host}:${portOf(url)}${url.pathname}${url.search}`, {
    headers: { ...headers, Host: url.host },
    redirect: "manual",
    decompress: false,
    proxy,
    signal,
    ...(serverName !== undefined && { tls: { serverName } }),
  });
}

function proxyOption({ url, authorization }: ProxyEndpoint): { url: string; headers?: Record<string, string> } {
  return { url, ...(authorization !== undefined && { headers: { "Proxy-Authorization": authorization } }) };
}

/** The name that TLS verifies; nothing where there is no TLS, or an address in place of a name. */
function serverNameOf(url: URL): string | undefined {
  if (url.protocol !== "https:") return undefined;
  return isIP(url.hostname.replace(/^\[|\]$/g, "")) === 0 ? url.hostname : undefined;
}

function checkHead(response: Response, bytesMax: number): Response {
  if (response.status < 100 || response.status > 599) {
    discardBody(response);
    throw invalidStatus(response.status);
  }
  let bytes = 0;
  response.headers.forEach((value, name) => {
    bytes += name.length + value.length + 4;
  });
  if (bytes <= bytesMax) return response;
  discardBody(response);
  throw new Failure("DOWNLOAD_HEADERS_TOO_LARGE", `the answer's headers are over ${bytesMax} bytes`);
}

/** Closes the connection of an answer whose body nobody wants. */
export function discardBody(response: Response): void {
  void response.body?.cancel().catch(() => {});
}
