import type { Clock } from "../jobs/clock.ts";

const ADDRESSES_MAX = 1024;

/** Addresses that have lately left a connect without an answer. Bounded: the one that was marked first is forgotten. */
export class SilentAddresses {
  readonly #clock: Clock;
  readonly #forMs: number;
  /** Monotonic times, the earliest first. */
  readonly #until = new Map<string, number>();

  constructor(clock: Clock, forMs: number) {
    this.#clock = clock;
    this.#forMs = forMs;
  }

  add(address: string): void {
    this.#until.delete(address);
    this.#until.set(address, this.#clock.monotonic() + this.#forMs);
    if (this.#until.size <= ADDRESSES_MAX) return;
    for (const earliest of this.#until.keys()) {
      this.#until.delete(earliest);
      break;
    }
  }

  has(address: string): boolean {
    const until = this.#until.get(address);
    if (until === undefined) return false;
    if (this.#clock.monotonic() < until) return true;
    this.#until.delete(address);
    return false;
  }
}
