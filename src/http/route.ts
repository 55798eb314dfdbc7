import { withDeadline } from "../std/deadline.ts";
import type { Connector } from "./connect.ts";
import { HttpError } from "./http-error.ts";
import { connectThroughHttp } from "./proxy/http-tunnel.ts";
import { ProxyError } from "./proxy/proxy-error.ts";
import { connectThroughSocks, type SocksCredentials } from "./proxy/socks.ts";
import { TunnelStream } from "./proxy/tunnel-stream.ts";
import type { NodeTransport } from "./transport/node-transport.ts";
import type { SocketTransport } from "./transport/socket-transport.ts";
import type { TlsOptions } from "./transport/tls.ts";
import type { Transport } from "./transport/transport.ts";

/** The way to the target. The addresses of a proxy are vetted, in the resolver's order. */
export type Route =
  | { readonly kind: "direct" }
  | {
      readonly kind: "http-proxy";
      readonly addresses: readonly string[];
      readonly port: number;
      /** Set for an `https://` proxy. */
      readonly tls?: TlsOptions | undefined;
      /** The whole value of Proxy-Authorization, for CONNECT and for requests in the absolute form. */
      readonly authorization?: string | undefined;
    }
  | {
      readonly kind: "socks5";
      readonly addresses: readonly string[];
      readonly port: number;
      readonly credentials?: SocksCredentials | undefined;
    };

type ProxyRoute = Exclude<Route, { readonly kind: "direct" }>;

export interface Target {
  /**
   * Vetted addresses in the resolver's order. A direct route tries all; a proxy is asked for the first one only. A
   * caller that has more addresses asks again.
   */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Undefined: `http`. */
  readonly tls?: TlsOptions | undefined;
}

export interface RouteLimits {
  /** Limit for the TCP connects to the target, or to the proxy. */
  readonly connectTimeoutMs: number;
  /** Limit for each TLS handshake. */
  readonly tlsTimeoutMs: number;
  /** Limit for CONNECT or SOCKS, from the request to the answer, once the proxy is connected. */
  readonly tunnelTimeoutMs: number;
}

export interface OpenRouteOptions {
  readonly route: Route;
  readonly target: Target;
  readonly limits: RouteLimits;
  readonly signal: AbortSignal;
}

/**
 * Opens a stream to the target. With an HTTP proxy and a plain target the stream ends at the proxy, and requests need
 * the absolute form (RFC 9112, section 3.2.2).
 *
 * An error of the target rejects as in `Connector.connect`. An error of the proxy, of its connect, TLS and limits too,
 * is a ProxyError with the first error as its cause. If the proxy does not answer in time, it rejects with an HttpError
 * `timeout` of phase `tunnel`. It rejects with the signal's reason as soon as that aborts.
 */
export async function openRoute(connector: Connector, options: OpenRouteOptions): Promise<Transport> {
  const { route, target, limits, signal } = options;
  if (route.kind === "direct") return connector.connect({ ...target, ...limits, signal });
  if (target.tls !== undefined) return openEncrypted(connector, route, options, target.tls);
  const transport = await toProxy(route, signal, (proxy) => connector.connect({ ...proxy, ...limits, signal }));
  if (route.kind === "socks5") await askForTunnel(connector, transport, route, options);
  return transport;
}

/** Opens TLS within a tunnel. Only node can also do so within the TLS of an `https://` proxy. */
async function openEncrypted(
  connector: Connector,
  route: ProxyRoute,
  options: OpenRouteOptions,
  tls: TlsOptions,
): Promise<NodeTransport> {
  const { limits, signal } = options;
  const { clock } = connector;
  const roots = await connector.withRoots(tls);
  const outer = await toProxy(route, signal, (proxy) => connector.connectByNode({ ...proxy, ...limits, signal }));
  await askForTunnel(connector, outer, route, options);
  if (outer.heldBytes > 0) {
    outer.destroy();
    throw new ProxyError("the proxy sent bytes into the tunnel before the TLS handshake");
  }
  const handshake = outer.startTls(roots, firstAddress(options.target));
  const name = tls.serverName ?? firstAddress(options.target);
  const words = `no TLS handshake with ${name} within ${limits.tlsTimeoutMs} ms`;
  const onLimit = () => new HttpError("timeout", words, { phase: "tls" });
  const deadline = { clock, signal, limitMs: limits.tlsTimeoutMs, onLimit };
  const inner = await withDeadline(
    deadline,
    () => handshake.transport,
    () => handshake.destroy(),
  );
  if (!signal.aborted) return inner;
  inner.destroy();
  throw signal.reason;
}

/** Connects to the proxy itself: its errors must not look like those of the target. */
async function toProxy<T>(
  route: ProxyRoute,
  signal: AbortSignal,
  connect: (proxy: { addresses: readonly string[]; port: number; tls: TlsOptions | undefined }) => Promise<T>,
): Promise<T> {
  const tls = route.kind === "http-proxy" ? route.tls : undefined;
  try {
    return await connect({ addresses: route.addresses, port: route.port, tls });
  } catch (error) {
    if (signal.aborted || !(error instanceof HttpError)) throw error;
    const code = error.code ?? (error.kind === "timeout" ? "TIMEOUT" : undefined);
    throw new ProxyError(`no connection to the proxy: ${error.message}`, { code, cause: error });
  }
}

/** Opens the tunnel. Leaves the transport without a handler at the tunnel's first byte; destroys it on failure. */
async function askForTunnel(
  connector: Connector,
  transport: SocketTransport,
  route: ProxyRoute,
  options: OpenRouteOptions,
): Promise<void> {
  const { limits, signal, target } = options;
  const { clock } = connector;
  const stream = new TunnelStream(transport);
  const asked = { address: firstAddress(target), port: target.port };
  const ask = () =>
    route.kind === "socks5"
      ? connectThroughSocks(stream, { ...asked, credentials: route.credentials })
      : connectThroughHttp(stream, { ...asked, authorization: route.authorization });
  const onLimit = () =>
    new HttpError("timeout", `no tunnel through the proxy within ${limits.tunnelTimeoutMs} ms`, { phase: "tunnel" });
  try {
    const deadline = { clock, signal, limitMs: limits.tunnelTimeoutMs, onLimit };
    await withDeadline(deadline, ask, () => transport.destroy());
    if (signal.aborted) throw signal.reason;
  } catch (error) {
    transport.destroy();
    throw error;
  }
  stream.release();
}

function firstAddress(target: Target): string {
  const [address] = target.addresses;
  if (address === undefined) throw new HttpError("connect", "there is no address to connect to");
  return address;
}
