import type { ClaimedTask } from "../jobs/task.ts";

/** Attempts that were told to end and did not: their workers went on without them. Health shows them until they end. */
export class OverdueAttempts {
  readonly #attempts = new Set<ClaimedTask>();

  add(claimed: ClaimedTask): void {
    this.#attempts.add(claimed);
  }

  delete(claimed: ClaimedTask): void {
    this.#attempts.delete(claimed);
  }

  /** How many there are, and the first of them; `undefined` if there are none. */
  get problem(): string | undefined {
    const [first] = this.#attempts;
    if (first === undefined) return undefined;
    const count = this.#attempts.size === 1 ? "1 attempt was" : `${this.#attempts.size} attempts were`;
    return `${count} told to end and still runs (task ${first.id}, host ${first.host}); its task goes on without it`;
  }
}
