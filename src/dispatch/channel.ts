/** A receiver waits at a channel that was closed. */
export class ChannelClosedError extends Error {
  override readonly name = "ChannelClosedError";
}

interface Receiver<T> {
  readonly take: (item: T) => void;
  readonly fail: (reason: unknown) => void;
}

/**
 * A bounded first-in-first-out channel in memory. Receivers stand in a line, too: the first one gets the next item,
 * which is round-robin over the free ones.
 */
export class Channel<T> {
  readonly capacity: number;
  readonly #items: T[] = [];
  readonly #receivers: Receiver<T>[] = [];
  readonly #onTaken: () => void;
  #closed = false;

  /** Calls `onTaken` when an item has left the channel, so that no sender has to wait. */
  constructor(capacity: number, onTaken: () => void = () => {}) {
    this.capacity = capacity;
    this.#onTaken = onTaken;
  }

  /** The number of items that no receiver has taken yet. */
  get length(): number {
    return this.#items.length;
  }

  /** The number of items that can be sent now. */
  get room(): number {
    return this.#closed ? 0 : this.capacity + this.#receivers.length - this.#items.length;
  }

  /** Sends an item. False if the channel is full or closed, and did not take it. */
  send(item: T): boolean {
    if (this.#closed) return false;
    const receiver = this.#receivers.shift();
    if (receiver !== undefined) {
      receiver.take(item);
      return true;
    }
    if (this.#items.length >= this.capacity) return false;
    this.#items.push(item);
    return true;
  }

  /** Resolves with the next item. @throws the signal's reason; ChannelClosedError once it is closed and empty */
  receive(signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const item = this.#items.shift();
      if (item !== undefined) {
        resolve(item);
        this.#onTaken();
        return;
      }
      if (this.#closed) return reject(new ChannelClosedError("the channel is closed"));
      this.#enqueue(resolve, reject, signal);
    });
  }

  /** Takes back the items that no receiver has taken. */
  drain(): T[] {
    return this.#items.splice(0);
  }

  /** Closes the channel: its receivers fail. Returns the items that no receiver has taken. */
  close(): T[] {
    this.#closed = true;
    for (const receiver of this.#receivers.splice(0)) receiver.fail(new ChannelClosedError("the channel is closed"));
    return this.#items.splice(0);
  }

  #enqueue(resolve: (item: T) => void, reject: (reason: unknown) => void, signal: AbortSignal): void {
    const stop = () => {
      this.#receivers.splice(this.#receivers.indexOf(receiver), 1);
      reject(signal.reason);
    };
    const receiver: Receiver<T> = {
      take: (item) => {
        signal.removeEventListener("abort", stop);
        resolve(item);
      },
      fail: (reason) => {
        signal.removeEventListener("abort", stop);
        reject(reason);
      },
    };
    signal.addEventListener("abort", stop, { once: true });
    this.#receivers.push(receiver);
  }
}
