import type { Socket, SocketHandler, TLSOptions } from "bun";
import type { Dial, DialHandler, DialOptions } from "./dial.ts";
import { SocketTransport } from "./socket-transport.ts";
import { ALPN_HTTP_1_1, brokenStream, handshakeCut, handshakeError, type TlsOptions } from "./tls.ts";
import type { TlsSessions } from "./tls-sessions.ts";

/** Gets the events of a socket: first the dial, then the transport. */
interface SocketOwner {
  onSocketOpen?(socket: Socket<SocketOwner>): void;
  onSocketHandshake?(isApproved: boolean, error: Error | null): void;
  onSocketData?(chunk: Uint8Array): void;
  onSocketDrain?(): void;
  onSocketError?(error: Error): void;
  onSocketEnd(error: Error | undefined): void;
}

/**
 * One object for all sockets. A kept connection then holds neither callbacks of its own nor its dial, which holds the
 * request. It takes 23 objects and 1.8 KB of the heap instead of 80 and 4.6 KB (2026-11-29).
 */
const EVENTS: SocketHandler<SocketOwner> = {
  open: (socket) => socket.data.onSocketOpen?.(socket),
  handshake: ({ data: owner }, isApproved, error) => owner.onSocketHandshake?.(isApproved, error),
  data: ({ data: owner }, chunk) => owner.onSocketData?.(chunk),
  drain: ({ data: owner }) => owner.onSocketDrain?.(),
  end: ({ data: owner }) => owner.onSocketEnd(undefined),
  error: ({ data: owner }, error) => owner.onSocketError?.(error),
  close: ({ data: owner }, error) => owner.onSocketEnd(error),
};

/**
 * A stream over `Bun.connect`. It takes half the CPU of a TLS connection by node:tls, but a pending connect cannot be
 * ended.
 */
class BunTransport extends SocketTransport implements SocketOwner {
  readonly #socket: Socket<SocketOwner>;
  readonly #isEncrypted: boolean;
  #onFirstData: (() => void) | undefined;
  #unsent: Uint8Array | undefined;
  #hasReceived = false;

  /** `onFirstData` is given for an encrypted stream only, and is called before the first data. */
  constructor(address: string, socket: Socket<SocketOwner>, onFirstData: (() => void) | undefined) {
    super(address);
    this.#socket = socket;
    this.#isEncrypted = onFirstData !== undefined;
    this.#onFirstData = onFirstData;
  }

  write(bytes: Uint8Array): boolean {
    if (this.isOver) return false;
    if (this.#unsent !== undefined) throw new Error("more was written before the transport had drained");
    const taken = this.#send(bytes);
    if (taken === bytes.length) return true;
    // A copy, because the array belongs to the caller again; `slice` of a Buffer would share its memory.
    this.#unsent = new Uint8Array(bytes.subarray(taken));
    return false;
  }

  setKeepsAlive(keepsAlive: boolean): void {
    if (keepsAlive) this.#socket.ref();
    else this.#socket.unref();
  }

  onSocketData(chunk: Uint8Array): void {
    if (!this.#hasReceived) {
      this.#hasReceived = true;
      this.#onFirstData?.();
      this.#onFirstData = undefined;
    }
    this.onData(chunk);
  }

  onSocketDrain(): void {
    const bytes = this.#unsent;
    if (bytes === undefined || this.isOver) return;
    const taken = this.#send(bytes);
    this.#unsent = taken === bytes.length ? undefined : bytes.subarray(taken);
    if (this.#unsent === undefined) this.onDrained();
  }

  /** For an error of TLS, which comes before a `close` without an error. */
  onSocketError(error: Error): void {
    this.onSocketEnd(error);
    this.destroySocket();
  }

  /** For `end` and `close`, or `close` alone after a reset. */
  onSocketEnd(error: Error | undefined): void {
    this.onEnd(error === undefined ? undefined : brokenStream(error, this.#hasReceived));
  }

  protected override pauseSocket(): void {
    this.#socket.pause();
  }

  protected override resumeSocket(): void {
    this.#socket.resume();
  }

  /** With TLS, and with unsent bytes, `end` would wait for the peer, which may be silent forever. */
  protected override destroySocket(): void {
    const isClogged = this.#unsent !== undefined;
    this.#unsent = undefined;
    if (this.#isEncrypted || isClogged) this.#socket.terminate();
    else this.#socket.end();
  }

  /** Returns how many bytes the kernel took. */
  #send(bytes: Uint8Array): number {
    return Math.max(0, this.#socket.write(bytes));
  }
}

/**
 * One connect by Bun, and the TLS handshake that Bun starts right after it, with the session of an earlier connection
 * if there is one.
 *
 *     connecting ──open──▶ handshake ──approved, or no TLS──▶ ready
 *     connecting ──error──▶ over
 *     handshake ──refused, error──▶ over
 *     any ──destroy──▶ over
 *
 * A connect that is destroyed while `connecting` is abandoned: Bun cannot end it, and `released` follows later.
 */
export class BunDial implements Dial<BunTransport>, SocketOwner {
  readonly address: string;
  readonly #options: DialOptions;
  readonly #tls: TlsOptions | undefined;
  readonly #sessions: TlsSessions;
  readonly #handler: DialHandler;
  readonly #ready = Promise.withResolvers<BunTransport>();
  #state: "connecting" | "handshake" | "ready" | "over" = "connecting";
  #socket: Socket<SocketOwner> | undefined;
  #transport: BunTransport | undefined;
  #isResuming = false;

  constructor(options: DialOptions, sessions: TlsSessions, handler: DialHandler) {
    this.address = options.address;
    this.#options = options;
    this.#tls = options.tls;
    this.#sessions = sessions;
    this.#handler = handler;
    // It may reject before `secure` is called; without a handler that would end the process.
    this.#ready.promise.catch(() => {});
    this.#connect(options.port).catch((error: Error) => this.#onConnectError(error));
  }

  get isConnecting(): boolean {
    return this.#state === "connecting";
  }

  secure(): Promise<BunTransport> {
    return this.#ready.promise;
  }

  destroy(): void {
    const state = this.#state;
    if (state === "over") return;
    this.#state = "over";
    if (state === "connecting") this.#handler.abandoned?.();
    else if (this.#transport !== undefined) this.#transport.destroy();
    else this.#socket?.terminate();
  }

  onSocketOpen(socket: Socket<SocketOwner>): void {
    if (this.#state !== "connecting") {
      socket.terminate();
      this.#handler.released?.();
      return;
    }
    this.#socket = socket;
    this.#state = "handshake";
    if (this.#tls === undefined) this.#onReady(socket);
    else this.#resumeSession(socket);
    this.#handler.connected();
  }

  onSocketHandshake(isApproved: boolean, error: Error | null): void {
    if (this.#state !== "handshake" || this.#socket === undefined) return;
    if (isApproved && error === null) this.#onReady(this.#socket);
    else this.#fail(handshakeError(error, this.#tls?.serverName ?? this.address));
  }

  onSocketEnd(error: Error | undefined): void {
    if (this.#state === "handshake") this.#fail(handshakeCut(error));
  }

  #connect(port: number): Promise<unknown> {
    return Bun.connect<SocketOwner>({
      hostname: this.address,
      port,
      data: this,
      ...(this.#tls && { tls: bunTlsOptions(this.#tls) }),
      socket: EVENTS,
    });
  }

  #onConnectError(error: Error): void {
    if (this.#state !== "connecting") {
      this.#handler.released?.();
      return;
    }
    this.#state = "over";
    this.#handler.failed(error);
  }

  #resumeSession(socket: Socket<SocketOwner>): void {
    const session = this.#sessions.find(this.#options);
    if (session === undefined) return;
    this.#isResuming = true;
    socket.setSession(session);
  }

  #onReady(socket: Socket<SocketOwner>): void {
    this.#state = "ready";
    // With TLS 1.3 the session comes after the handshake, before the first data.
    const onFirstData = this.#tls && (() => this.#keepSession(socket));
    this.#transport = new BunTransport(this.address, socket, onFirstData);
    socket.data = this.#transport;
    this.#ready.resolve(this.#transport);
  }

  #keepSession(socket: Socket<SocketOwner>): void {
    if (socket.isSessionReused()) return;
    // The types of Bun 1.4.5 declare no result.
    const session: unknown = socket.getSession();
    if (session instanceof Uint8Array && session.byteLength > 0) this.#sessions.keep(this.#options, session);
  }

  #fail(error: Error): void {
    if (this.#isResuming) this.#sessions.forget(this.#options);
    this.destroy();
    this.#ready.reject(error);
  }
}

/** `ca` of Bun replaces the default roots, so the caller must include them. */
function bunTlsOptions({ serverName, ca }: TlsOptions): TLSOptions {
  return {
    // Set explicitly, NODE_TLS_REJECT_UNAUTHORIZED=0 cannot weaken it.
    rejectUnauthorized: true,
    ALPNProtocols: ALPN_HTTP_1_1,
    ...(serverName !== undefined && { serverName }),
    ...(ca !== undefined && { ca: [...ca] }),
  };
}
