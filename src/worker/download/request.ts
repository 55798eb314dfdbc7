import { isIP } from "node:net";
import type { HttpResponse } from "../../http/connection.ts";
import type { HttpClient, HttpRequest } from "../../http/http-client.ts";
import { HttpError, type HttpErrorKind } from "../../http/http-error.ts";
import { originForm } from "../../http/message/request-head.ts";
import { ProxyError } from "../../http/proxy/proxy-error.ts";
import type { Route } from "../../http/route.ts";
import type { TlsOptions } from "../../http/transport/tls.ts";
import { Failure } from "../../jobs/failure.ts";
import { type Addresses, portOf } from "../names/addresses.ts";
import { toFailure } from "./http-failure.ts";
import type { ProxyEndpoint, ProxyReport } from "./proxies.ts";

export interface RequestDeps {
  readonly http: HttpClient;
  readonly addresses: Addresses;
  /** The addresses of a proxy's name: the operator's choice, which no policy judges. */
  readonly resolve: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** To connect, for each TLS handshake, and for a proxy to open a tunnel. */
  readonly connectTimeoutMs: number;
  /** From the request to the end of the answer's head. */
  readonly headTimeoutMs: number;
  /** More authorities in PEM to trust, beside the system's. */
  readonly ca: readonly string[] | undefined;
}

/** Instead of an answer there was the end of the connection, or something that is not HTTP. */
const UNANSWERED: readonly HttpErrorKind[] = ["closed", "reset", "protocol"];

/** What became known of an attempt on its way, whether it ends well or not. */
export interface AttemptTrace {
  address: string;
  /** Without credentials. */
  proxy: string;
  httpStatus: number;
  bytes: number;
}

/** The proxy of this hop failed, or may have: another endpoint may do better. */
export class ProxyFailureError extends Error {
  override readonly name = "ProxyFailureError";
  /**
   * What this says of the proxy: `works` if it would not, or could not, reach this host; `silent` if it gave no answer,
   * which may be the host's doing.
   */
  readonly report: ProxyReport;

  constructor(message: string, more: { readonly report?: ProxyReport; readonly cause?: unknown } = {}) {
    super(message, { cause: more.cause });
    this.report = more.report ?? "failed";
  }
}

/** Whether a plain request goes to the proxy itself, and not through a tunnel: then a 407 is the proxy's. */
export function isAnsweredByProxy(url: URL, endpoint: ProxyEndpoint): boolean {
  return url.protocol === "http:" && endpoint.kind !== "socks5";
}

/** One hop of an attempt: where to, what goes along, and who may end it. */
export interface Hop {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly trace: AttemptTrace;
  readonly signal: AbortSignal;
}

/**
 * One GET to an address that was checked (D6): the connection goes to the address, the name stands in `Host` and in
 * TLS.
 * @throws Failure, ProxyFailureError, or the signal's reason
 */
export async function request(hop: Hop, endpoint: ProxyEndpoint | undefined, deps: RequestDeps): Promise<HttpResponse> {
  const { url, trace, signal } = hop;
  trace.address = "";
  trace.httpStatus = 0;
  const addresses = await deps.addresses(url, signal);
  // The last one that is tried, unless a connection says otherwise.
  trace.address = addresses.at(-1) ?? "";
  try {
    const response =
      endpoint === undefined
        ? await send(hop, addresses, { kind: "direct" }, deps)
        : await sendThrough(endpoint, hop, addresses, deps);
    trace.httpStatus = response.status;
    return response;
  } catch (error) {
    signal.throwIfAborted();
    throw endpoint === undefined ? toFailure(error) : proxyFailure(error, url, endpoint);
  }
}

/**
 * Whose failure it is, behind a proxy. One that is asked for a plain URL has to answer whatever the host does (RFC
 * 9110, 15.6.3), and one that is asked for a tunnel within its time: where it gives no answer at all, another one is
 * asked.
 */
function proxyFailure(error: unknown, url: URL, endpoint: ProxyEndpoint): unknown {
  if (error instanceof ProxyError) {
    return new ProxyFailureError(error.message, { report: error.isAboutTarget ? "works" : "failed", cause: error });
  }
  if (error instanceof HttpError && isUnanswered(error, url, endpoint)) {
    return new ProxyFailureError(error.message, { report: "silent", cause: error });
  }
  return toFailure(error);
}

function isUnanswered({ kind, phase }: HttpError, url: URL, endpoint: ProxyEndpoint): boolean {
  if (phase === "tunnel") return kind === "timeout";
  return UNANSWERED.includes(kind) && isAnsweredByProxy(url, endpoint);
}

/** A proxy is told the address, one after the other where it cannot reach the first. */
async function sendThrough(
  endpoint: ProxyEndpoint,
  hop: Hop,
  addresses: readonly string[],
  deps: RequestDeps,
): Promise<HttpResponse> {
  const route = await routeThrough(endpoint, hop.signal, deps);
  for (const [at, address] of addresses.entries()) {
    hop.trace.address = address;
    try {
      return await send(hop, [address], route, deps);
    } catch (error) {
      const isLast = at === addresses.length - 1;
      if (isLast || !(error instanceof ProxyError) || !error.isAboutTarget) throw error;
    }
  }
  throw new Error("there is no address to connect to");
}

function send(hop: Hop, addresses: readonly string[], route: Route, deps: RequestDeps): Promise<HttpResponse> {
  const { url, headers, signal, trace } = hop;
  const { connectTimeoutMs, headTimeoutMs } = deps;
  const tls = url.protocol === "https:" ? tlsOf(url.hostname, deps.ca) : undefined;
  const request: HttpRequest = {
    method: "GET",
    target: { addresses, port: portOf(url), tls },
    route,
    path: originForm(url),
    host: url.host,
    fields: headers,
    limits: {
      connectTimeoutMs,
      tlsTimeoutMs: connectTimeoutMs,
      tunnelTimeoutMs: connectTimeoutMs,
      headTimeoutMs,
    },
    signal,
    ...(route.kind === "direct" && {
      onConnection: (address: string) => {
        trace.address = address;
      },
    }),
  };
  return deps.http.send(request);
}

async function routeThrough(endpoint: ProxyEndpoint, signal: AbortSignal, deps: RequestDeps): Promise<Route> {
  const { host, port, kind, authorization, credentials } = endpoint;
  const addresses = await addressesOf(endpoint, signal, deps);
  if (kind === "socks5") return { kind: "socks5", addresses, port, credentials };
  const tls = kind === "https" ? tlsOf(host, deps.ca) : undefined;
  return { kind: "http-proxy", addresses, port, tls, authorization };
}

async function addressesOf(
  { host }: ProxyEndpoint,
  signal: AbortSignal,
  deps: RequestDeps,
): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    return await deps.resolve(host, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new ProxyFailureError(cause instanceof Failure ? cause.message : "its name could not be resolved", { cause });
  }
}

/** The name that a certificate must have; for an address in place of a name, the address itself. */
function tlsOf(hostname: string, ca: readonly string[] | undefined): TlsOptions {
  const isAddress = isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;
  return { serverName: isAddress ? undefined : hostname.replace(/\.$/, ""), ca };
}
