import { IntakeError } from "./intake-error.ts";

/** What one request holds of the memory for bodies. */
export interface HeldBytes {
  /** @throws IntakeError RATE_LIMITED where all bodies together would take more than they may; then nothing is added */
  add(bytes: number): void;
  release(): void;
}

/**
 * Memory for the bodies of requests, bounded over all of them: a client that comes too early is asked to come again.
 */
export class BodyMemory {
  readonly #bytesMax: number;
  #held = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  hold(): HeldBytes {
    let own = 0;
    return {
      add: (bytes) => {
        // One body alone is bounded by its own limit.
        if (this.#held > own && this.#held + bytes > this.#bytesMax) {
          throw new IntakeError("RATE_LIMITED", "too many bodies are being read at the moment; send this one again");
        }
        own += bytes;
        this.#held += bytes;
      },
      release: () => {
        this.#held -= own;
        own = 0;
      },
    };
  }
}
