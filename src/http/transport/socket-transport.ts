import type { Transport, TransportHandler } from "./transport.ts";

/**
 * A transport that keeps the order of events, whatever its socket does: no data while paused or without a handler, all
 * data before the end, one end.
 *
 *     open ──the socket ends──▶ ended ──the handler is told──▶ closed
 *     closed ──detach──▶ ended
 *     open, ended ──destroy──▶ destroyed
 *
 * `ended` lasts while data or the end wait for a handler. Pausing and detaching hold data back in every state.
 */
export abstract class SocketTransport implements Transport {
  readonly address: string;
  #handler: TransportHandler | undefined;
  /** Chunks that wait for a handler, or for `resume`. */
  readonly #held: Uint8Array[] = [];
  #state: "open" | "ended" | "closed" | "destroyed" = "open";
  /** The error that ended the stream; `undefined` for a proper end. */
  #error: Error | undefined;
  #isPaused = false;
  #isDelivering = false;

  constructor(address: string) {
    this.address = address;
  }

  get handler(): TransportHandler {
    if (this.#handler === undefined) throw new Error("the transport has no handler yet");
    return this.#handler;
  }

  /** Held data reaches the new handler in a microtask, not within the assignment. */
  set handler(handler: TransportHandler) {
    this.#handler = handler;
    if (this.#held.length > 0 || this.#state === "ended") this.#deliverSoon();
  }

  abstract write(bytes: Uint8Array): boolean;
  abstract setKeepsAlive(keepsAlive: boolean): void;
  protected abstract pauseSocket(): void;
  protected abstract resumeSocket(): void;
  protected abstract destroySocket(): void;

  /** True after `destroy`, and once a handler was told of the end: the transport takes no more bytes. */
  get isOver(): boolean {
    return this.#state === "closed" || this.#state === "destroyed";
  }

  pause(): void {
    if (this.#isPaused || this.isOver) return;
    this.#isPaused = true;
    if (this.#state === "open") this.pauseSocket();
  }

  resume(): void {
    if (!this.#isPaused || this.isOver) return;
    this.#isPaused = false;
    if (this.#held.length > 0 || this.#state === "ended") this.#deliverSoon();
    if (this.#state === "open") this.resumeSocket();
  }

  destroy(): void {
    if (this.isOver) return;
    this.#state = "destroyed";
    this.#held.length = 0;
    this.destroySocket();
  }

  /**
   * Removes the handler. Later data waits for the next one, behind `unread`, the bytes that the last one received but
   * did not use. The next handler is told of the end, too, if the last one was.
   */
  detach(unread: Uint8Array): void {
    this.#handler = undefined;
    if (this.#state === "closed") this.#state = "ended";
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

  /** For a socket that ended and closes by itself. The first call counts: sockets report an end in several ways. */
  protected onEnd(error: Error | undefined): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#error = error;
    this.#deliver();
  }

  /** An exception of the handler ends the stream: Bun would lose it, and the exchange would wait forever. */
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

  /** The handler may pause, destroy or detach the transport within each call. */
  #deliver(): void {
    while (this.#handler !== undefined && !this.#isPaused && !this.isOver) {
      const chunk = this.#held.shift();
      if (chunk === undefined) break;
      this.#give(this.#handler, chunk);
    }
    if (this.#state !== "ended" || this.#held.length > 0 || this.#handler === undefined) return;
    this.#state = "closed";
    this.#handler.closed(this.#error);
  }
}
