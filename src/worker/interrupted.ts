import type { Interruption } from "../jobs/verdict.ts";

/** Why a running task was stopped; it is put back and no attempt is spent. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly by: Interruption;

  constructor(by: Interruption) {
    super(`interrupted by ${by}`);
    this.by = by;
  }
}
