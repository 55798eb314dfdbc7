import { inspect } from "node:util";

const MASK = "***";

/** A value that must not be seen: however it is printed it reads `***`. Only `reveal` gives it away. */
export class Secret {
  readonly #value: string;
  readonly #parts: readonly string[];

  /** `parts` of the value that are secret each for itself: what it is put together from. */
  constructor(value: string, parts: readonly string[] = []) {
    this.#value = value;
    this.#parts = parts;
  }

  /** The secret itself; call it only where it goes out on the wire or into a comparison. */
  reveal(): string {
    return this.#value;
  }

  /** Its secret parts; call it only to keep them out of what is shown. */
  revealParts(): readonly string[] {
    return this.#parts;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}
