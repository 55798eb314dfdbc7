/** An iterator is kept for so many changes, as a part of the largest size. */
const KEPT_PART = 1 / 8;

/** A map with a largest size: beyond it, the entry that was set first makes room for a new one. */
export class BoundedMap<K, V> {
  readonly #sizeMax: number;
  readonly #entries = new Map<K, V>();
  /**
   * Kept between removals: a new iterator passes over every entry that was deleted before it finds the first one. With
   * 10,000 entries a new iterator for each removal took 73 µs, the kept one takes 2 µs (2026-11-28). It is not kept for
   * long, because it holds every table that the map has had since: 65 bytes for each change.
   */
  #oldest: Iterator<K> | undefined;
  /** Changes since `#oldest` is kept. */
  #changes = 0;

  constructor(sizeMax: number) {
    this.#sizeMax = sizeMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  /** The age of an entry counts from here, also where the key is in the map already. */
  set(key: K, value: V): void {
    const isKnown = this.delete(key);
    if (!isKnown && this.#entries.size >= this.#sizeMax) this.#dropOldest();
    this.#entries.set(key, value);
  }

  delete(key: K): boolean {
    if (this.#oldest !== undefined && ++this.#changes > this.#sizeMax * KEPT_PART) this.#oldest = undefined;
    return this.#entries.delete(key);
  }

  /** The entry that was set first comes first. */
  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#entries.entries();
  }

  #dropOldest(): void {
    let oldest = this.#oldest?.next();
    if (oldest === undefined || oldest.done === true) {
      this.#oldest = this.#entries.keys();
      this.#changes = 0;
      oldest = this.#oldest.next();
    }
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }
}
