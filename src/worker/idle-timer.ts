import type { Clock } from "../jobs/clock.ts";

/**
 * Fires when nothing happened for `ms`. `touch` only notes the time, so that it may be called for every chunk; the one
 * timer looks again when it goes off.
 */
export class IdleTimer {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onIdle: () => void;
  #lastAt: number;
  #timer: { cancel(): void };

  constructor(clock: Clock, ms: number, onIdle: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onIdle = onIdle;
    this.#lastAt = clock.monotonic();
    this.#timer = clock.after(ms, () => this.#check());
  }

  touch(): void {
    this.#lastAt = this.#clock.monotonic();
  }

  /** Counts anew after `cancel`. */
  restart(): void {
    this.cancel();
    this.touch();
    this.#timer = this.#clock.after(this.#ms, () => this.#check());
  }

  cancel(): void {
    this.#timer.cancel();
  }

  #check(): void {
    const left = this.#lastAt + this.#ms - this.#clock.monotonic();
    if (left <= 0) this.#onIdle();
    else this.#timer = this.#clock.after(left, () => this.#check());
  }
}
