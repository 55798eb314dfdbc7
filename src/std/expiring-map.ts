import type { Clock } from "./clock.ts";

interface Kept<V> {
  readonly value: V;
  /** Monotonic. */
  readonly until: number;
}

/** A map whose entries are forgotten after a time. Bounded: the one that was set first makes room for another. */
export class ExpiringMap<V> {
  readonly #clock: Clock;
  readonly #forMs: number;
  readonly #sizeMax: number;
  /** The one that was set first comes first. */
  readonly #kept = new Map<string, Kept<V>>();

  constructor(clock: Clock, forMs: number, sizeMax: number) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#sizeMax = sizeMax;
  }

  get(key: string): V | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (this.#clock.monotonic() < kept.until) return kept.value;
    this.#kept.delete(key);
    return undefined;
  }

  /** Its time begins anew. */
  set(key: string, value: V): void {
    this.#kept.delete(key);
    if (this.#kept.size >= this.#sizeMax) this.#kept.delete(this.#kept.keys().next().value ?? "");
    this.#kept.set(key, { value, until: this.#clock.monotonic() + this.#forMs });
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }
}
