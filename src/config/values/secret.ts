import { inspect } from "node:util";
import { MASK } from "../../std/visible-text.ts";

/** A secret value: however it is printed, it is `***`. Only `reveal` returns it. */
export class Secret {
  readonly #value: string;
  readonly #parts: readonly string[];

  /** `parts` are the secrets that the value was made from. */
  constructor(value: string, parts: readonly string[] = []) {
    this.#value = value;
    this.#parts = parts;
  }

  /** The secret itself; call it only to send it or to compare it. */
  reveal(): string {
    return this.#value;
  }

  /** The secret parts; call it only to keep them out of a text. */
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
