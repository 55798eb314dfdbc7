/**
 * A connected byte stream in both directions, encrypted or not: what `connect` gives and a connection speaks HTTP over.
 * Two implementations: Bun's sockets, and node's for TLS within a tunnel and for addresses that were silent.
 */
export interface Transport {
  /** The address of the peer, without its port. */
  readonly address: string;
  /** Hears of everything from now on; set again when the stream changes hands (tunnel → connection). */
  handler: TransportHandler;
  /**
   * Takes all bytes; the array is the caller's again. False if some of them wait for the peer: `drained` follows, and
   * the caller gives nothing more until then.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops reading: the peer is held back once the kernel's buffers are full. Idempotent. */
  pause(): void;
  resume(): void;
  /** Closes the socket at once, whatever is under way. Idempotent; the handler hears nothing more. */
  destroy(): void;
  /** Lets the process end although the socket is open (an idle, kept connection), or not. */
  setKeepsAlive(keepsAlive: boolean): void;
}

/** Called by a transport, never after `destroy` and never after `closed`. */
export interface TransportHandler {
  /** The chunk belongs to the handler: nobody writes to it again. */
  data(chunk: Uint8Array): void;
  /** All that was written is with the kernel. */
  drained(): void;
  /** The stream ended: `undefined` if the peer closed it properly, the error if it was reset or broke. Called once. */
  closed(error: Error | undefined): void;
}
