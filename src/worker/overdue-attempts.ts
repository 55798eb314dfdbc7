import type { Attempt } from "./attempt.ts";

/** Attempts that did not end after their abort; their workers abandoned them. Health shows them until they end. */
export class OverdueAttempts {
  readonly #attempts = new Set<Attempt>();

  add(attempt: Attempt): void {
    this.#attempts.add(attempt);
  }

  delete(attempt: Attempt): void {
    this.#attempts.delete(attempt);
  }

  /** A message with their count and the first of them; `undefined` if every attempt has ended. */
  get problem(): string | undefined {
    const [first] = this.#attempts;
    if (first === undefined) return undefined;
    const one = `(task ${first.claimed.id}, host ${first.claimed.host})`;
    if (this.#attempts.size === 1) return `1 aborted attempt still runs ${one}; its task continues without it`;
    return `${this.#attempts.size} aborted attempts still run, the first ${one}; their tasks continue without them`;
  }
}
