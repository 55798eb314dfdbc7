import { isIPv6 } from "node:net";
import { type ConnectorOptions, createConnector } from "./connect.ts";
import { HttpConnection, type HttpResponse } from "./connection.ts";
import { Places } from "./connection-places.ts";
import { HttpError } from "./http-error.ts";
import { IdleConnections } from "./idle-connections.ts";
import type { ResponseLimits } from "./message/head-reader.ts";
import type { BodySource, RequestBody } from "./message/outgoing-body.ts";
import { type RequestFields, requestHead } from "./message/request-head.ts";
import { openRoute, type Route, type RouteLimits, type Target } from "./route.ts";
import type { Transport } from "./transport/transport.ts";

export interface HttpRequest {
  readonly method: string;
  readonly target: Target;
  readonly route: Route;
  /** Path and query, byte for byte; see `originForm`. */
  readonly path: string;
  /** The value of Host. */
  readonly host: string;
  readonly fields: RequestFields;
  readonly body?: RequestBody;
  readonly limits: RouteLimits & {
    /** Longest time from the request's first byte to the end of the answer's head; absent: no limit. */
    readonly headTimeoutMs?: number;
    /**
     * Longest time without a byte in either direction, until the answer is complete; absent: no limit. It applies only
     * without `headTimeoutMs`.
     */
    readonly idleTimeoutMs?: number;
  };
  readonly signal: AbortSignal;
  /** Called with the address that the request goes to, as soon as there is a connection. */
  readonly onConnection?: (address: string) => void;
}

interface HttpClientOptions extends ConnectorOptions {
  readonly limits: ResponseLimits;
}

export interface HttpClient {
  /**
   * Sends one request and resolves with the head of its answer. The caller must read the body to its end or discard it.
   * A request that fails on a kept connection before a byte of its answer is sent once more on a new one. This holds if
   * its method is idempotent and its body can be sent twice (RFC 9110, section 9.2.2).
   *
   * Rejects with an `HttpError`, with an error of the body's source, or with the signal's reason as soon as it aborts.
   * Then its connection is closed.
   */
  send(request: HttpRequest): Promise<HttpResponse>;
  /** Closes kept connections that were idle for too long. The caller must call it from time to time. */
  dropExpired(): void;
  /** Closes kept connections that serve no request now. */
  dropIdle(): void;
  /** Connects that were abandoned and keep a descriptor until the system ends them. */
  readonly abandonedConnects: number;
  /** Closes all kept connections. */
  close(): void;
}

/** Shorter than the time for which common servers keep a connection (node and Apache: 5 s). */
const IDLE_MS = 4000;
/** Upper limit for the time that a server announces; a second is taken off that time. */
const IDLE_MAX_MS = 60_000;

/** Methods whose requests may be sent twice (RFC 9110, section 9.2.2). */
const IDEMPOTENT = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];

/** An HTTP/1.1 client over sockets (RFC 9110, RFC 9112), to addresses that the caller names. It has no global state. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  return new SocketClient(options);
}

class SocketClient implements HttpClient {
  readonly #options: HttpClientOptions;
  readonly #connector;
  readonly #idle: IdleConnections;
  readonly #places = new Places();
  #isClosed = false;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#connector = createConnector(options);
    this.#idle = new IdleConnections(options.clock);
  }

  get abandonedConnects(): number {
    return this.#connector.abandoned;
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    request.signal.throwIfAborted();
    // It may throw, and there is no connection yet that would have to be closed.
    const head = headOf(request);
    // Bytes that were read from a source cannot be sent a second time.
    const kept = isSource(request.body) ? undefined : this.#takeIdle(request);
    if (kept === undefined) return this.#sendOnNew(request, head);
    try {
      return await this.#exchange(kept.connection, request, head);
    } catch (error) {
      if (!isStale(error, kept.connection)) throw error;
      // The server has probably closed the other connections of that age, too.
      this.#idle.dropAll(kept.key);
      if (error.kind === "timeout" || !IDEMPOTENT.includes(request.method)) throw error;
      return this.#sendOnNew(request, head);
    }
  }

  dropExpired(): void {
    this.#idle.dropExpired();
  }

  dropIdle(): void {
    this.#idle.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#idle.close();
  }

  async #sendOnNew(request: HttpRequest, head: string): Promise<HttpResponse> {
    const { route, target, limits, signal } = request;
    signal.throwIfAborted();
    const transport = await openRoute(this.#connector, { route, target, limits, signal });
    const key = this.#places.keyOf(request, route.kind === "direct" ? transport.address : (target.addresses[0] ?? ""));
    return this.#exchange(this.#connectionOver(transport, key), request, head);
  }

  /** A method of its own, so that a kept connection does not hold the request that opened it. */
  #connectionOver(transport: Transport, key: string): HttpConnection {
    return new HttpConnection(transport, {
      clock: this.#options.clock,
      limits: this.#options.limits,
      onFree: (freed) => {
        if (!freed.isIdle) this.#idle.remove(freed);
        else if (this.#isClosed) freed.destroy();
        else this.#idle.add(key, freed, idleMsOf(freed.keepAlive));
      },
    });
  }

  #exchange(connection: HttpConnection, request: HttpRequest, head: string): Promise<HttpResponse> {
    const { method, body, limits, signal } = request;
    try {
      request.onConnection?.(connection.address);
    } catch (error) {
      connection.destroy();
      throw error;
    }
    const { headTimeoutMs, idleTimeoutMs } = limits;
    return connection.exchange({ method, head, body, headTimeoutMs, idleTimeoutMs, signal });
  }

  #takeIdle(request: HttpRequest): { connection: HttpConnection; key: string } | undefined {
    const { route, target } = request;
    const addresses = route.kind === "direct" ? target.addresses : target.addresses.slice(0, 1);
    for (const address of addresses) {
      const key = this.#places.keyOf(request, address);
      const connection = this.#idle.take(key);
      if (connection !== undefined) return { connection, key };
    }
    return undefined;
  }
}

/** For a plain target at an HTTP proxy in the absolute form, else in the origin form (RFC 9112, section 3.2). */
function headOf({ method, path, host, route, target, fields }: HttpRequest): string {
  const isAbsolute = route.kind === "http-proxy" && target.tls === undefined;
  const form = isAbsolute ? `http://${authorityOf(target)}${path}` : path;
  const all = isAbsolute && route.authorization !== undefined ? withProxy(fields, route.authorization) : fields;
  return requestHead(method, form, host, all);
}

function isSource(body: RequestBody): body is BodySource {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** True if a kept connection was dead: it ended, or was silent, before a byte of the answer. */
function isStale(error: unknown, connection: HttpConnection): error is HttpError {
  if (!(error instanceof HttpError) || connection.hasAnswered) return false;
  return error.kind === "reset" || error.kind === "closed" || error.kind === "timeout";
}

function authorityOf({ addresses: [address = ""], port }: Target): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

function withProxy(fields: RequestFields, authorization: string): RequestFields {
  return { ...fields, "Proxy-Authorization": authorization };
}

/** The time for which a connection is kept, by the server's announcement (`Keep-Alive: timeout=5`). */
function idleMsOf(keepAlive: string | undefined): number {
  const seconds = /(?:^|[ ,;])timeout=(\d{1,6})/i.exec(keepAlive ?? "")?.[1];
  return seconds === undefined ? IDLE_MS : Math.min(IDLE_MAX_MS, Math.max(0, Number(seconds) - 1) * 1000);
}
