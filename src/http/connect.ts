import type { Clock } from "../std/clock.ts";
import { ExpiringMap } from "../std/collections/expiring-map.ts";
import { withDeadline } from "../std/deadline.ts";
import { HttpError } from "./http-error.ts";
import { Race } from "./race.ts";
import { BunDial } from "./transport/bun-transport.ts";
import type { Dial, DialHandler, DialOptions } from "./transport/dial.ts";
import { loadNodeModules, NodeDial, type NodeModules, type NodeTransport } from "./transport/node-transport.ts";
import type { SocketTransport } from "./transport/socket-transport.ts";
import type { TlsOptions } from "./transport/tls.ts";
import { TlsSessions } from "./transport/tls-sessions.ts";

/** For this time node connects to an address that left one of Bun's connects without an answer. */
const SILENT_FOR_MS = 5 * 60_000;
const SILENT_MAX = 1024;
/** For this time more connects by Bun go to an address that has answered: they will hardly be left pending. */
const ANSWERED_FOR_MS = 60_000;
const ANSWERED_MAX = 1024;

export interface ConnectOptions {
  /** Vetted IPv4 and IPv6 addresses of one host, in the resolver's order; never names. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Undefined: the stream is not encrypted. */
  readonly tls?: TlsOptions | undefined;
  /** Limit for the TCP connects to all addresses together. */
  readonly connectTimeoutMs: number;
  /** Limit for the TLS handshake, which follows the connect. */
  readonly tlsTimeoutMs: number;
  readonly signal: AbortSignal;
}

export interface ConnectorOptions {
  readonly clock: Clock;
  /**
   * Connects by Bun that may be pending or abandoned at a time, 128 by default; node makes further ones, each with
   * 10 KB more memory for its socket. An abandoned connect keeps its descriptor for about two minutes.
   */
  readonly bunConnectsMax?: number;
  /** The same limit for addresses that answered a short time ago, if it is higher. */
  readonly answeredConnectsMax?: number;
}

export interface Connector {
  readonly clock: Clock;
  /** Connects that were abandoned while the system continues them, each with a descriptor. */
  readonly abandoned: number;
  /**
   * Connects to the first address that answers (RFC 8305), then makes the TLS handshake (1.2 or 1.3, ALPN `http/1.1`).
   * Writes no application data before the certificate was approved. The stream belongs to the caller and waits for a
   * handler.
   *
   * Rejects with an HttpError: `connect` (each address with its code in the message), `timeout` (phase `connect` or
   * `tls`), `tls`, and `closed` or `reset` if the connection ends within the handshake. Rejects with the signal's
   * reason as soon as it aborts. Then the socket is closed.
   */
  connect(options: ConnectOptions): Promise<SocketTransport>;
  /** The same by sockets of node, which can carry TLS within TLS. Never leaves an abandoned connect. */
  connectByNode(options: ConnectOptions): Promise<NodeTransport>;
  /** The options with the default roots beside their own authorities, in the form that sockets take. */
  withRoots(tls: TlsOptions): Promise<TlsOptions>;
}

export function createConnector(options: ConnectorOptions): Connector {
  return new SocketConnector(options);
}

type DialBy<T extends SocketTransport> = (options: DialOptions, handler: DialHandler, modules: NodeModules) => Dial<T>;

class SocketConnector implements Connector {
  readonly clock: Clock;
  readonly #bunConnectsMax: number;
  readonly #answeredConnectsMax: number;
  /** Addresses that left a connect without an answer a short time ago. */
  readonly #silent: ExpiringMap<true>;
  readonly #answered: ExpiringMap<true>;
  readonly #sessions: TlsSessions;
  readonly #roots = new WeakMap<readonly string[], readonly string[]>();
  #modules: NodeModules | undefined;
  #pendingByBun = 0;
  #abandoned = 0;

  constructor({ clock, bunConnectsMax = 128, answeredConnectsMax = bunConnectsMax }: ConnectorOptions) {
    this.clock = clock;
    this.#bunConnectsMax = bunConnectsMax;
    this.#answeredConnectsMax = Math.max(bunConnectsMax, answeredConnectsMax);
    this.#answered = new ExpiringMap(clock, ANSWERED_FOR_MS, ANSWERED_MAX);
    this.#silent = new ExpiringMap(clock, SILENT_FOR_MS, SILENT_MAX);
    this.#sessions = new TlsSessions(clock);
  }

  get abandoned(): number {
    return this.#abandoned;
  }

  connect(options: ConnectOptions): Promise<SocketTransport> {
    return this.#open<SocketTransport>(options, (dialOptions, handler, modules) =>
      this.#mayUseBun(dialOptions.address)
        ? this.#dialByBun(dialOptions, handler)
        : new NodeDial(modules, dialOptions, handler),
    );
  }

  connectByNode(options: ConnectOptions): Promise<NodeTransport> {
    return this.#open(options, (dialOptions, handler, modules) => new NodeDial(modules, dialOptions, handler));
  }

  async withRoots(tls: TlsOptions): Promise<TlsOptions> {
    const { ca } = tls;
    if (ca === undefined || ca.length === 0) return { serverName: tls.serverName, ca: undefined };
    const known = this.#roots.get(ca);
    if (known !== undefined) return { serverName: tls.serverName, ca: known };
    const modules = await this.#load();
    const all = [...modules.tls.getCACertificates("default"), ...ca];
    this.#roots.set(ca, all);
    return { serverName: tls.serverName, ca: all };
  }

  async #open<T extends SocketTransport>(options: ConnectOptions, dial: DialBy<T>): Promise<T> {
    const { addresses, port, connectTimeoutMs, tlsTimeoutMs, signal } = options;
    const { clock } = this;
    const race = new Race<Dial<T>>({ clock, addresses, port });
    const run = async () => {
      const modules = await this.#load();
      const tls = options.tls && (await this.withRoots(options.tls));
      return race.run((address, handler) => dial({ address, port, tls }, handler, modules));
    };
    const onConnectLimit = () =>
      new HttpError("timeout", `no connection to port ${port} within ${connectTimeoutMs} ms: ${race.describe()}`, {
        phase: "connect",
      });
    const connectDeadline = { clock, signal, limitMs: connectTimeoutMs, onLimit: onConnectLimit };
    const winner = await withDeadline(connectDeadline, run, () => race.stop());
    const onTlsLimit = () =>
      new HttpError("timeout", `no TLS handshake with ${winner.address} within ${tlsTimeoutMs} ms`, { phase: "tls" });
    const tlsDeadline = { clock, signal, limitMs: tlsTimeoutMs, onLimit: onTlsLimit };
    const release = () => winner.destroy();
    const isPlain = options.tls === undefined;
    const transport = isPlain ? await winner.secure() : await withDeadline(tlsDeadline, () => winner.secure(), release);
    if (!signal.aborted) return transport;
    transport.destroy();
    throw signal.reason;
  }

  #dialByBun(options: DialOptions, handler: DialHandler): BunDial {
    this.#pendingByBun++;
    return new BunDial(options, this.#sessions, {
      connected: () => {
        this.#pendingByBun--;
        this.#answered.set(options.address, true);
        handler.connected();
      },
      failed: (error) => {
        this.#pendingByBun--;
        handler.failed(error);
      },
      abandoned: () => {
        this.#abandoned++;
        this.#silent.set(options.address, true);
      },
      released: () => {
        this.#pendingByBun--;
        this.#abandoned--;
      },
    });
  }

  #mayUseBun(address: string): boolean {
    const most = this.#answered.get(address) === undefined ? this.#bunConnectsMax : this.#answeredConnectsMax;
    return this.#pendingByBun < most && this.#silent.get(address) === undefined;
  }

  async #load(): Promise<NodeModules> {
    this.#modules ??= await loadNodeModules();
    return this.#modules;
  }
}
