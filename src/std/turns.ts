import { setImmediate } from "node:timers/promises";

/**
 * Runs long work a piece at a time. All callers that share one object together do one piece in a turn of the event
 * loop, in the order in which they asked, so that everybody else waits for one piece at most.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when the caller may do its next piece, always in a later turn. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => setImmediate());
    return this.#last;
  }
}
