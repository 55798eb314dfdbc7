/** Tasks of newcomers that one claim brings. */
export const NEWCOMERS_AT_ONCE = 64;
/** Tasks that the window may hold for newcomers beyond its largest size. */
export const NEWCOMERS_MAX = 128;
/** A claim costs a commit, so those for newcomers alone keep this distance. */
const EVERY_MS = 250;

/**
 * When to claim for newcomers: jobs of which the window has no task. They do not wait until half of a window of long
 * tasks is gone. Times are of the monotonic clock.
 */
export class Newcomers {
  #from = 0;
  #isExpected = false;

  /** When the next claim for newcomers may start; `undefined` if no lane of one came since the last choice. */
  get dueAt(): number | undefined {
    return this.#isExpected ? this.#from : undefined;
  }

  /** Notes a lane of a newcomer. */
  came(): void {
    this.#isExpected = true;
  }

  /** Notes a choice that saw all jobs. */
  seen(): void {
    this.#isExpected = false;
  }

  /** Whether to choose for newcomers now; true at most once in the interval. */
  takeTurn(now: number): boolean {
    if (now < this.#from) return false;
    this.#from = now + EVERY_MS;
    this.#isExpected = false;
    return true;
  }
}
