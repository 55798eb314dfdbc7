import { sha256Hex } from "../digest.ts";
/**
 * A map by texts that somebody else chose. The engine's own maps hash texts in a way that is known, so that a few
 * kilobytes of names with one hash keep a `Map`, a `Set` or an object busy for seconds. The hash here has random keys,
 * which makes collisions as rare for chosen texts as for any others (multilinear hashing: Lemire and Kaser, "Strongly
 * universal string hashing is fast", 2014). Memory grows with the number of entries.
 */
export class TextMap<V> {
  /** Open addressing: an index into the entries plus 1, or 0. */
  #slots = new Uint32Array(64);
  readonly #texts: string[] = [];
  readonly #values: V[] = [];

  get size(): number {
    return this.#texts.length;
  }

  has(text: string): boolean {
    return this.#slots[this.#slotOf(keyOf(text))] !== 0;
  }

  get(text: string): V | undefined {
    return this.#values[(this.#slots[this.#slotOf(keyOf(text))] ?? 0) - 1];
  }

  /** Adds an entry; false if there is one of that text, which stays as it is. */
  add(text: string, value: V): boolean {
    const key = keyOf(text);
    const slot = this.#slotOf(key);
    if (this.#slots[slot] !== 0) return false;
    this.#texts.push(key);
    this.#values.push(value);
    this.#slots[slot] = this.#texts.length;
    if (this.#texts.length * 2 > this.#slots.length) this.#grow();
    return true;
  }

  /** Where the text is, or belongs. */
  #slotOf(key: string): number {
    const last = this.#slots.length - 1;
    let slot = hashOf(key) & last;
    for (;;) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0 || this.#texts[entry - 1] === key) return slot;
      slot = (slot + 1) & last;
    }
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 4);
    for (const [index, key] of this.#texts.entries()) this.#slots[this.#slotOf(key)] = index + 1;
  }
}

/** Texts up to this length are hashed here, with a key for each character; of longer ones, their SHA-256. */
const HASHED_MAX = 64;
const KEYS = crypto.getRandomValues(new Uint32Array(2 * (HASHED_MAX + 2)));

/** Short texts stand for themselves. A digest is longer than they may be, so that none is taken for another. */
function keyOf(text: string): string {
  return text.length <= HASHED_MAX ? text : `${sha256Hex(utf16(text))}!`;
}

function utf16(text: string): Uint8Array {
  return Buffer.from(text, "utf16le");
}

/** 32 bits, from the upper halves of two sums: the lower ones are not random. */
function hashOf(text: string): number {
  let upper = KEYS[0] ?? 0;
  let lower = KEYS[1] ?? 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at) + 1;
    upper = (upper + Math.imul(KEYS[2 * at + 2] ?? 0, code)) | 0;
    lower = (lower + Math.imul(KEYS[2 * at + 3] ?? 0, code)) | 0;
  }
  return (upper & 0xffff_0000) | (lower >>> 16);
}
