import type { SocketTransport } from "./socket-transport.ts";
import type { TlsOptions } from "./tls.ts";

/** One attempt at one address: a TCP connect, then perhaps a TLS handshake. */
export interface Dial<T extends SocketTransport = SocketTransport> {
  readonly address: string;
  /** True until the TCP connection stands or failed, or the dial was destroyed. */
  readonly isConnecting: boolean;
  /**
   * Gives the stream once the TLS handshake was approved, or at once without TLS. To be called after `connected`.
   * Rejects with an HttpError `tls`, `closed` or `reset`; stays silent after `destroy`.
   */
  secure(): Promise<T>;
  /** Closes the socket, whatever is under way; the handler hears only of what it abandons. Idempotent. */
  destroy(): void;
}

export interface DialHandler {
  connected(): void;
  /** The TCP connect failed; `error` is the system's. */
  failed(error: Error): void;
  /** The dial was destroyed, but the system goes on with the connect and keeps its descriptor. */
  abandoned?(): void;
  /** The connect that was abandoned is over, and its descriptor free. */
  released?(): void;
}

export interface DialOptions {
  /** IPv4 or IPv6, without brackets; never a name. */
  readonly address: string;
  readonly port: number;
  /** Its `ca` takes the place of the default roots here. */
  readonly tls?: TlsOptions | undefined;
}
