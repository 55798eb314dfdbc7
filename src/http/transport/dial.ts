import type { SocketTransport } from "./socket-transport.ts";
import type { TlsOptions } from "./tls.ts";

/** One attempt to reach one address: a TCP connect, then perhaps a TLS handshake. */
export interface Dial<T extends SocketTransport = SocketTransport> {
  readonly address: string;
  /** True until the TCP connection is established or failed, or the dial was destroyed. */
  readonly isConnecting: boolean;
  /**
   * The stream, once the TLS handshake was approved, or at once without TLS. It may be called after `connected` only.
   * Rejects with an HttpError `tls`, `closed` or `reset`; never settles after `destroy`.
   */
  secure(): Promise<T>;
  /** Closes the socket, in any state. Idempotent; of the handler only `abandoned` and `released` are called. */
  destroy(): void;
}

export interface DialHandler {
  connected(): void;
  /** The TCP connect failed; `error` is the system's. */
  failed(error: Error): void;
  /** The dial was destroyed, but the system continues the connect and keeps its descriptor. */
  abandoned?(): void;
  /** The abandoned connect has ended, and its descriptor is free. */
  released?(): void;
}

export interface DialOptions {
  /** IPv4 or IPv6, without brackets; never a name. */
  readonly address: string;
  readonly port: number;
  /** Its `ca` replaces the default roots here. */
  readonly tls?: TlsOptions | undefined;
}
