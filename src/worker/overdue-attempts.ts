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
    const one = `(task ${first.id}, host ${first.host})`;
    if (this.#attempts.size === 1)
      return `1 attempt was told to end and still runs ${one}; its task goes on without it`;
    return `${this.#attempts.size} attempts were told to end and still run, the first ${one}; their tasks go on without them`;
  }
}
