export type HeaderField = readonly [name: string, value: string];

/**
 * The fields of a head in the order of their arrival. Names are ASCII in lower case; values are Latin-1, one character
 * per byte, without surrounding white space.
 *
 * It is a list, not a map: the peer chooses the names, and colliding hashes cannot slow a linear search down. Every
 * method takes time linear in the number of fields.
 */
export class HeaderFields {
  readonly #fields: readonly HeaderField[];

  /** Keeps the list, which must not change afterwards. */
  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields;
  }

  get count(): number {
    return this.#fields.length;
  }

  /** All values of a field, joined by ", " (RFC 9110, section 5.3); `undefined` if the field is absent. */
  get(name: string): string | undefined {
    let joined: string | undefined;
    for (const [each, value] of this.#fields) {
      if (each === name) joined = joined === undefined ? value : `${joined}, ${value}`;
    }
    return joined;
  }

  /** The values of a field, one for each of its lines; empty if the field is absent. */
  all(name: string): string[] {
    const values: string[] = [];
    for (const [each, value] of this.#fields) {
      if (each === name) values.push(value);
    }
    return values;
  }

  has(name: string): boolean {
    for (const [each] of this.#fields) {
      if (each === name) return true;
    }
    return false;
  }

  [Symbol.iterator](): IterableIterator<HeaderField> {
    return this.#fields.values();
  }
}
