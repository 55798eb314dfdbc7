/**
 * A connected byte stream in both directions, encrypted or not, which a connection speaks HTTP over. There are two
 * implementations: Bun's sockets, and node's for TLS within a tunnel and for addresses that were silent.
 */
export interface Transport {
  /** The IP address of the peer, without its port. */
  readonly address: string;
  /** Receives all events from now on; set again when the stream changes its owner (tunnel → connection). */
  handler: TransportHandler;
  /**
   * Takes all bytes; the array belongs to the caller again. False if some bytes wait for the peer: `drained` follows,
   * and the caller must not write before that.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops reading: the peer is held back once the kernel's buffers are full. Idempotent. */
  pause(): void;
  resume(): void;
  /** Closes the socket at once, in any state. Idempotent; the handler receives no further event. */
  destroy(): void;
  /** False lets the process end although the socket is open, as for an idle connection. */
  setKeepsAlive(keepsAlive: boolean): void;
}

/** Called by a transport, never after `destroy` and never after `closed`. */
export interface TransportHandler {
  /** The chunk belongs to the handler: the transport does not write to it again. */
  data(chunk: Uint8Array): void;
  /** The kernel has taken all bytes that were written. */
  drained(): void;
  /** The stream ended: `undefined` if the peer closed it properly, the error if it was reset or broke. Called once. */
  closed(error: Error | undefined): void;
}
