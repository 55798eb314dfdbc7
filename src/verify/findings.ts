/** What a check found. */
export interface Inconsistency {
  /** The rule that is broken, in few words. */
  readonly rule: string;
  /** What is wrong, with the ids that one needs to find it. */
  readonly message: string;
}

/** Listed one by one; of more there is a count. */
export const LISTED_MAX = 1000;

/** Gathers what the checks find. */
export class Findings {
  readonly breaches: Inconsistency[] = [];
  /** What a crash left and the next start puts right: no breach. */
  readonly unfinished: string[] = [];
  readonly notes: string[] = [];
  readonly counts = { jobs: 0, tasks: 0, deadLetters: 0, objects: 0, bytesRead: 0, ofRuns: 0, unknown: 0 };
  /** Rules by whose breaches rows are lost: what is left must not be counted as if it were all. */
  readonly losses = new Set<string>();
  #breachCount = 0;

  /** All breaches, also those beyond the list. */
  get breachCount(): number {
    return this.#breachCount;
  }

  /** `isLoss`: something of the stores is gone by it. */
  breach(rule: string, message: string, isLoss = false): void {
    this.#breachCount++;
    if (isLoss) this.losses.add(rule);
    if (this.breaches.length < LISTED_MAX) this.breaches.push({ rule, message });
  }
}
