import type { Clock } from "./clock.ts";

/** A limit of calls per second that holds one second's worth: after a pause so much may be caught up, and no more. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #capacity: number;
  readonly #clock: Pick<Clock, "monotonic">;
  #tokens: number;
  #filledAt: number;

  /** `perSecond` is greater than 0. */
  constructor(perSecond: number, clock: Pick<Clock, "monotonic">) {
    this.#perSecond = perSecond;
    this.#capacity = Math.max(1, perSecond);
    this.#clock = clock;
    this.#tokens = this.#capacity;
    this.#filledAt = clock.monotonic();
  }

  /** Milliseconds until there is a token; 0 where there is one now. */
  waitMs(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#capacity, this.#tokens + ((now - this.#filledAt) * this.#perSecond) / 1000);
    this.#filledAt = now;
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) * 1000) / this.#perSecond;
  }

  take(): void {
    this.#tokens--;
  }
}
