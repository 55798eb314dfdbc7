import { unlessAborted } from "../../../std/unless-aborted.ts";

interface Waiting {
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * Memory for parts of uploads, bounded over all of them. An upload that waits for memory holds no memory: it takes its
 * first buffer here in line, and a second one only where there is room, so that no two wait for each other.
 */
export class PartBuffers {
  readonly #bytesMax: number;
  readonly #waiting = new Set<Waiting>();
  #taken = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of the buffers that are out. */
  get taken(): number {
    return this.#taken;
  }

  /** Waits in line for a buffer. One that is larger than all there may be is given when no other is out. */
  async take(bytes: number, signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    if (this.#waiting.size > 0 || !this.#hasRoom(bytes)) await this.#turn(bytes, signal);
    else this.#taken += bytes;
    // The system gives its pages when they are first written to: a small body costs no more than it needs.
    return Buffer.allocUnsafeSlow(bytes);
  }

  /** A buffer, if there is room for it now and no upload waits. */
  takeNow(bytes: number): Buffer | undefined {
    if (this.#waiting.size > 0 || !this.#hasRoom(bytes)) return undefined;
    this.#taken += bytes;
    return Buffer.allocUnsafeSlow(bytes);
  }

  giveBack(buffer: Buffer): void {
    this.#taken -= buffer.byteLength;
    this.#grant();
  }

  #hasRoom(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#bytesMax;
  }

  async #turn(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { bytes, grant: resolve };
    this.#waiting.add(waiting);
    try {
      await unlessAborted(promise, signal);
    } catch (error) {
      // It may have been granted in the same moment.
      if (!this.#waiting.delete(waiting)) this.#taken -= bytes;
      this.#grant();
      throw error;
    }
  }

  #grant(): void {
    for (const waiting of this.#waiting) {
      if (!this.#hasRoom(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      this.#taken += waiting.bytes;
      waiting.grant();
    }
  }
}
