import type { Clock } from "../clock.ts";
import { BoundedMap } from "./bounded-map.ts";

interface Kept<V> {
  readonly value: V;
  /** Monotonic. */
  readonly until: number;
}

/** A map whose entries end after a time. It has a largest size, as a `BoundedMap` has. */
export class ExpiringMap<V> {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #forMs: number;
  readonly #kept: BoundedMap<string, Kept<V>>;

  constructor(clock: Pick<Clock, "monotonic">, forMs: number, sizeMax: number) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#kept = new BoundedMap(sizeMax);
  }

  get(key: string): V | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (this.#clock.monotonic() < kept.until) return kept.value;
    this.#kept.delete(key);
    return undefined;
  }

  /** The entry's time begins now: `forMs`, or that of the map. */
  set(key: string, value: V, forMs: number = this.#forMs): void {
    this.#kept.set(key, { value, until: this.#clock.monotonic() + forMs });
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }
}
