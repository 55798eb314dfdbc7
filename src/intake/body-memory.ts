import { IntakeError } from "./intake-error.ts";

/** The memory for bodies that one request holds. */
export interface HeldBytes {
  /** @throws IntakeError RATE_LIMITED if all bodies together would exceed the limit; then it adds no bytes */
  add(bytes: number): void;
  release(): void;
}

/** The memory for the bodies of all requests, with one limit. A request over the limit is refused with 429. */
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
        // A single body has its own limit.
        if (this.#held > own && this.#held + bytes > this.#bytesMax) {
          throw new IntakeError("RATE_LIMITED", "too many request bodies are being read; send the request again");
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
