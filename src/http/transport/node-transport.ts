import type * as net from "node:net";
import type * as tls from "node:tls";
import type { Dial, DialHandler, DialOptions } from "./dial.ts";
import { SocketTransport } from "./socket-transport.ts";
import { brokenStream, handshakeCut, handshakeError, systemCode, type TlsOptions } from "./tls.ts";

/** Modules that are loaded when the first socket of node is needed, because they would delay the start. */
export interface NodeModules {
  readonly net: typeof net;
  readonly tls: typeof tls;
}

export async function loadNodeModules(): Promise<NodeModules> {
  return { net: await import("node:net"), tls: await import("node:tls") };
}

/** A stream over a connected socket of node:net or node:tls. */
export class NodeTransport extends SocketTransport {
  readonly #modules: NodeModules;
  readonly #socket: net.Socket;
  readonly #outer: readonly net.Socket[];
  #hasReceived = false;

  constructor(modules: NodeModules, socket: net.Socket, address: string, outer: readonly net.Socket[] = []) {
    super(address);
    this.#modules = modules;
    this.#socket = socket;
    this.#outer = outer;
    socket.on("data", this.#onSocketData);
    socket.on("drain", this.#onSocketDrain);
    socket.on("end", this.#onSocketEnd);
    socket.on("error", this.#onSocketError);
    socket.on("close", this.#onSocketClose);
  }

  write(bytes: Uint8Array): boolean {
    // The socket keeps the array, which the caller may reuse.
    return !this.isOver && this.#socket.write(new Uint8Array(bytes));
  }

  setKeepsAlive(keepsAlive: boolean): void {
    // With TLS within TLS, `ref` and `unref` do not reach the socket at the bottom.
    for (const socket of [this.#socket, ...this.#outer]) {
      if (keepsAlive) socket.ref();
      else socket.unref();
    }
  }

  /**
   * Starts a TLS handshake within this stream, which then belongs to the handshake. `address` is that of the peer at
   * the other end of the tunnel.
   */
  startTls(options: TlsOptions, address: string): NodeHandshake {
    this.#socket.off("data", this.#onSocketData);
    this.#socket.off("drain", this.#onSocketDrain);
    this.#socket.off("end", this.#onSocketEnd);
    this.#socket.off("close", this.#onSocketClose);
    // The `error` listener stays: an error of the outer stream without a listener would end the process.
    this.detach(new Uint8Array());
    return new NodeHandshake(this.#modules, { outer: [this.#socket, ...this.#outer], address, tls: options });
  }

  protected override pauseSocket(): void {
    this.#socket.pause();
  }

  protected override resumeSocket(): void {
    this.#socket.resume();
  }

  protected override destroySocket(): void {
    this.#socket.destroy();
  }

  readonly #onSocketData = (chunk: Uint8Array): void => {
    this.#hasReceived = true;
    this.onData(chunk);
  };

  readonly #onSocketDrain = (): void => this.onDrained();

  readonly #onSocketEnd = (): void => {
    this.onEnd(undefined);
    this.#socket.destroy();
  };

  readonly #onSocketError = (error: Error): void => {
    this.onEnd(this.#outer.length > 0 ? brokenStream(error, this.#hasReceived) : error);
  };

  readonly #onSocketClose = (): void => this.onEnd(new Error("the socket was closed"));
}

interface HandshakeOptions {
  /** The socket that carries the handshake, and the sockets that carry that one in turn. */
  readonly outer: readonly [net.Socket, ...net.Socket[]];
  /** The peer's address: without a server name the certificate must name it. */
  readonly address: string;
  readonly tls: TlsOptions;
}

/**
 * One TLS handshake over a connected socket of node.
 *
 *     open ──the peer ends──▶ half-closed
 *     open, half-closed ──approved, error, destroy──▶ over
 */
class NodeHandshake {
  readonly #options: HandshakeOptions;
  readonly #socket: tls.TLSSocket;
  readonly #result = Promise.withResolvers<NodeTransport>();
  #state: "open" | "half-closed" | "over" = "open";

  constructor(modules: NodeModules, options: HandshakeOptions) {
    const { outer, address } = options;
    const { serverName, ca } = options.tls;
    this.#options = options;
    // It may reject before a caller asks for it; without a handler that would end the process.
    this.#result.promise.catch(() => {});
    const socket = modules.tls.connect({
      socket: outer[0],
      host: address,
      // Set explicitly, NODE_TLS_REJECT_UNAUTHORIZED=0 cannot weaken it.
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      ...(serverName !== undefined && { servername: serverName }),
      ...(ca !== undefined && { ca: [...ca] }),
    });
    this.#socket = socket;
    // This listener is never removed: an error after the end must not reach the process.
    socket.on("error", (error: Error) => this.#onError(error));
    socket.once("end", () => {
      if (this.#state === "open") this.#state = "half-closed";
    });
    socket.once("close", () => this.#fail(handshakeCut(undefined)));
    socket.once("secureConnect", () => {
      if (this.#state === "over") return;
      this.#state = "over";
      this.#result.resolve(new NodeTransport(modules, socket, address, outer));
    });
    if (outer[0].destroyed) this.#fail(handshakeCut(undefined));
  }

  /** Rejects as `Dial.secure` does. */
  get transport(): Promise<NodeTransport> {
    return this.#result.promise;
  }

  destroy(): void {
    this.#state = "over";
    this.#socket.destroy();
    for (const socket of this.#options.outer) socket.destroy();
  }

  /** A connection that the peer closed during the handshake reports the code of a reset, but after an `end`. */
  #onError(error: Error): void {
    const { tls: wanted, address } = this.#options;
    const code = systemCode(error);
    const isCut = code === "ECONNRESET" || code === "EPIPE";
    const reason = isCut
      ? handshakeCut(this.#state === "half-closed" ? undefined : error)
      : handshakeError(error, wanted.serverName ?? address);
    this.#fail(reason);
  }

  #fail(error: Error): void {
    if (this.#state === "over") return;
    this.destroy();
    this.#result.reject(error);
  }
}

/**
 * One connect by node, which can be ended while it is pending.
 *
 *     connecting ──connect──▶ connected
 *     connecting ──error──▶ over
 *     any ──destroy──▶ over
 */
export class NodeDial implements Dial<NodeTransport> {
  readonly address: string;
  readonly #tls: TlsOptions | undefined;
  readonly #socket: net.Socket;
  #state: "connecting" | "connected" | "over" = "connecting";
  #plain: NodeTransport | undefined;
  #handshake: NodeHandshake | undefined;

  constructor(modules: NodeModules, options: DialOptions, handler: DialHandler) {
    this.address = options.address;
    this.#tls = options.tls;
    const onError = (error: Error) => {
      if (this.#state !== "connecting") return;
      this.#state = "over";
      handler.failed(error);
    };
    this.#socket = modules.net.connect({ host: options.address, port: options.port, noDelay: true });
    // This listener is never removed: an error after `destroy` must not reach the process.
    this.#socket.on("error", onError);
    this.#socket.once("connect", () => {
      if (this.#state !== "connecting") return;
      this.#state = "connected";
      // It holds data that arrives before `secure` is called.
      this.#plain = new NodeTransport(modules, this.#socket, this.address);
      handler.connected();
    });
  }

  get isConnecting(): boolean {
    return this.#state === "connecting";
  }

  secure(): Promise<NodeTransport> {
    const plain = this.#plain;
    if (plain === undefined) return Promise.reject(new Error("the dial is not connected"));
    if (this.#tls === undefined) return Promise.resolve(plain);
    this.#handshake = plain.startTls(this.#tls, this.address);
    return this.#handshake.transport;
  }

  destroy(): void {
    this.#state = "over";
    this.#handshake?.destroy();
    this.#socket.destroy();
  }
}
