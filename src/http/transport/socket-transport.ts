import type { Transport, TransportHandler } from "./transport.ts";

/**
 * The order of events that every transport keeps, whatever its socket does: no data while paused or before there is a
 * handler, all data before the end, one end.
 */
export abstract class SocketTransport implements Transport {
  readonly address: string;
  #handler: TransportHandler | undefined;
  /** Chunks that came while nobody could take them. */
  readonly #held: Uint8Array[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #isPaused = false;
  #isDelivering = false;
  #isEndHeard = false;
  #isDestroyed = false;

  constructor(address: string) {
    this.address = address;
  }

  get handler(): TransportHandler {
    if (this.#handler === undefined) throw new Error("the transport has no handler yet");
    return this.#handler;
  }

  /** What was held until now reaches the new handler in a microtask, not within the assignment. */
  set handler(handler: TransportHandler) {
    this.#handler = handler;
    if (this.#held.length > 0 || this.#end !== undefined) this.#deliverSoon();
  }

  abstract write(bytes: Uint8Array): boolean;
  abstract setKeepsAlive(keepsAlive: boolean): void;
  protected abstract pauseSocket(): void;
  protected abstract resumeSocket(): void;
  protected abstract destroySocket(): void;

  /** True after `destroy`, and once a handler heard of the end: nothing can be written any more. */
  get isOver(): boolean {
    return this.#isDestroyed || this.#isEndHeard;
  }

  pause(): void {
    if (this.#isPaused || this.isOver) return;
    this.#isPaused = true;
    if (this.#end === undefined) this.pauseSocket();
  }

  resume(): void {
    if (!this.#isPaused || this.isOver) return;
    this.#isPaused = false;
    if (this.#held.length > 0 || this.#end !== undefined) this.#deliverSoon();
    if (this.#end === undefined) this.resumeSocket();
  }

  destroy(): void {
    if (this.isOver) return;
    this.#isDestroyed = true;
    this.#held.length = 0;
    this.destroySocket();
  }

  /**
   * Takes the handler away; what comes from now on waits for the next one, behind `unread`, which the last one got but
   * did not need. An end that the last one heard of reaches the next one too.
   */
  detach(unread: Uint8Array): void {
    this.#handler = undefined;
    this.#isEndHeard = false;
    if (unread.length > 0) this.#held.unshift(unread);
  }

  /** Bytes that wait for a handler. */
  get heldBytes(): number {
    return this.#held.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  protected onData(chunk: Uint8Array): void {
    if (this.isOver) return;
    if (this.#handler === undefined || this.#isPaused || this.#held.length > 0) this.#held.push(chunk);
    else this.#give(this.#handler, chunk);
  }

  protected onDrained(): void {
    if (!this.isOver) this.#handler?.drained();
  }

  /** The socket ended and closes by itself. The first call counts: sockets report an end in several ways. */
  protected onEnd(error: Error | undefined): void {
    if (this.isOver || this.#end !== undefined) return;
    this.#end = { error };
    this.#deliver();
  }

  /** An exception of the handler ends the stream: Bun would lose it, and the exchange would wait for ever. */
  #give(handler: TransportHandler, chunk: Uint8Array): void {
    try {
      handler.data(chunk);
    } catch (error) {
      this.#held.length = 0;
      this.onEnd(error instanceof Error ? error : new Error("the handler failed", { cause: error }));
      this.destroySocket();
    }
  }

  #deliverSoon(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    queueMicrotask(() => {
      this.#isDelivering = false;
      this.#deliver();
    });
  }

  /** The handler may pause, destroy or hand on the transport within each call. */
  #deliver(): void {
    while (this.#handler !== undefined && !this.#isPaused && !this.isOver) {
      const chunk = this.#held.shift();
      if (chunk === undefined) break;
      this.#give(this.#handler, chunk);
    }
    const end = this.#end;
    if (end === undefined || this.#held.length > 0 || this.#handler === undefined || this.isOver) return;
    this.#isEndHeard = true;
    this.#handler.closed(end.error);
  }
}
