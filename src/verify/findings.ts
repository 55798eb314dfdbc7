/** An inconsistency that a check found. */
interface Inconsistency {
  /** The violated rule, in few words. */
  readonly rule: string;
  /** The facts, with the ids that an operator needs. */
  readonly message: string;
}

/** Inconsistencies that are listed; further ones are only counted. */
export const LISTED_MAX = 1000;

/** Collects the results of the checks. */
export class Findings {
  readonly inconsistencies: Inconsistency[] = [];
  /** Leftovers of a crash that the next start repairs. They are no inconsistencies. */
  readonly unfinished: string[] = [];
  readonly notes: string[] = [];
  readonly counts = { jobs: 0, tasks: 0, deadLetters: 0, objects: 0, bytesRead: 0, ofRuns: 0, unknown: 0, late: 0 };
  /** Violated rules that show a loss of rows: a recount of the rest would hide the loss. */
  readonly losses = new Set<string>();
  #inconsistencyCount = 0;

  /** The number of all inconsistencies, those beyond the list included. */
  get inconsistencyCount(): number {
    return this.#inconsistencyCount;
  }

  /** Adds an inconsistency. `isLoss`: rows of a store are lost. */
  report(rule: string, message: string, isLoss = false): void {
    this.#inconsistencyCount++;
    if (isLoss) this.losses.add(rule);
    if (this.inconsistencies.length < LISTED_MAX) this.inconsistencies.push({ rule, message });
  }
}
