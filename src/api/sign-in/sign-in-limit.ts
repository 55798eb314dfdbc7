import type { Clock } from "../../std/clock.ts";
import { BoundedMap } from "../../std/collections/bounded-map.ts";
import { ApiError } from "../http/errors.ts";

const MISSES_MAX = 5;
const WINDOW_MS = 60_000;
/** Most addresses in memory; the oldest entry is dropped first. */
const ADDRESSES_MAX = 10_000;

/** Counts failed sign-ins: after 5 within a minute an address has to wait. */
export class SignInLimit {
  readonly #clock: Pick<Clock, "monotonic">;
  /** The times of the latest misses of an address. */
  readonly #misses = new BoundedMap<string, readonly number[]>(ADDRESSES_MAX);

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** @throws ApiError RATE_LIMITED with `Retry-After` */
  check(address: string): void {
    const recent = this.#recent(address);
    const [oldest] = recent;
    if (oldest === undefined || recent.length < MISSES_MAX) return;
    throw new ApiError("RATE_LIMITED", {
      message: "too many sign-ins failed from this address; try again later",
      retryAfterSeconds: (oldest + WINDOW_MS - this.#clock.monotonic()) / 1000,
    });
  }

  miss(address: string): void {
    this.#misses.set(address, [...this.#recent(address), this.#clock.monotonic()]);
  }

  #recent(address: string): readonly number[] {
    const since = this.#clock.monotonic() - WINDOW_MS;
    return (this.#misses.get(address) ?? []).filter((at) => at > since);
  }
}
