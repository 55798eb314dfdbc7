import { isIP } from "node:net";
import type { HttpResponse } from "../../http/connection.ts";
import type { HttpClient, HttpRequest } from "../../http/http-client.ts";
import { HttpError, type HttpErrorKind } from "../../http/http-error.ts";
import { originForm } from "../../http/message/request-head.ts";
import { ProxyError } from "../../http/proxy/proxy-error.ts";
import type { Route } from "../../http/route.ts";
import type { TlsOptions } from "../../http/transport/tls.ts";
import { Failure } from "../../jobs/failure.ts";
import type { Attempt } from "../attempt.ts";
import { type Addresses, portOf } from "../names/addresses.ts";
import { toFailure } from "./http-failure.ts";
import type { ProxyEndpoint, ProxyReport } from "./proxies.ts";

export interface RequestDeps {
  readonly http: HttpClient;
  readonly addresses: Addresses;
  /** Resolves a proxy's name. The operator chose the proxy, so the egress policy does not apply. */
  readonly resolve: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** For the connection, for each TLS handshake, and for a proxy's tunnel. */
  readonly connectTimeoutMs: number;
  /** From the request until the end of the answer's head. */
  readonly headTimeoutMs: number;
  /** More certificate authorities in PEM, beside the system's. */
  readonly ca: readonly string[] | undefined;
}

/** Errors in place of an answer: the connection ended, or the bytes were not HTTP. */
const UNANSWERED: readonly HttpErrorKind[] = ["closed", "reset", "protocol"];

/** The proxy of this hop failed, or may have failed: another endpoint may work. */
export class ProxyFailureError extends Error {
  override readonly name = "ProxyFailureError";
  /**
   * The effect on the proxy's record: `works` if the proxy refused this host or could not reach it, `silent` if it gave
   * no answer, which the host may have caused.
   */
  readonly report: ProxyReport;

  constructor(message: string, more: { readonly report?: ProxyReport; readonly cause?: unknown } = {}) {
    super(message, { cause: more.cause });
    this.report = more.report ?? "failed";
  }
}

/** Whether the proxy itself answers the request, without a tunnel: then a 407 is the proxy's. */
export function isAnsweredByProxy(url: URL, endpoint: ProxyEndpoint): boolean {
  return url.protocol === "http:" && endpoint.kind !== "socks5";
}

/** One request of an attempt: each redirect makes another one. */
export interface Hop {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempt: Pick<Attempt, "trace" | "signal">;
}

/**
 * The answer to one GET. The connection goes to an address that was checked; `Host` and TLS carry the name.
 * @throws Failure, ProxyFailureError, or the signal's reason
 */
export async function request(hop: Hop, endpoint: ProxyEndpoint | undefined, deps: RequestDeps): Promise<HttpResponse> {
  const { url } = hop;
  const { trace, signal } = hop.attempt;
  trace.address = "";
  trace.httpStatus = 0;
  trace.stage = "connecting";
  const addresses = await deps.addresses(url, signal);
  // Without a connection the last address is the one that was tried last.
  trace.address = addresses.at(-1) ?? "";
  try {
    const response =
      endpoint === undefined
        ? await send(hop, addresses, { kind: "direct" }, deps)
        : await sendThrough(endpoint, hop, addresses, deps);
    trace.httpStatus = response.status;
    trace.stage = "body";
    return response;
  } catch (error) {
    signal.throwIfAborted();
    throw endpoint === undefined ? toFailure(error) : proxyFailure(error, url, endpoint);
  }
}

/**
 * The failure of a request through a proxy, attributed to the proxy or to the host. A proxy must answer a plain request
 * whatever the host does (RFC 9110, 15.6.3), and a request for a tunnel within its time. Without any answer, another
 * endpoint gets the request.
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

/** Sends the request through a proxy, to each address in turn until the proxy reaches one. */
async function sendThrough(
  endpoint: ProxyEndpoint,
  hop: Hop,
  addresses: readonly string[],
  deps: RequestDeps,
): Promise<HttpResponse> {
  const route = await routeThrough(endpoint, hop.attempt.signal, deps);
  for (const [at, address] of addresses.entries()) {
    hop.attempt.trace.address = address;
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
  const { url, headers } = hop;
  const { signal, trace } = hop.attempt;
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
    onConnection: (address: string) => {
      trace.stage = "headers";
      if (route.kind === "direct") trace.address = address;
    },
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

/** The TLS options for a host. A certificate must have its name; for an address, the address itself. */
function tlsOf(hostname: string, ca: readonly string[] | undefined): TlsOptions {
  const isAddress = isIP(hostname.replace(/^\[|\]$/g, "")) !== 0;
  return { serverName: isAddress ? undefined : hostname.replace(/\.$/, ""), ca };
}
