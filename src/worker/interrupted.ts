import type { Interruption } from "../jobs/verdict.ts";

/** The reason of an abort that puts the task back; no attempt is spent. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly by: Interruption;

  constructor(by: Interruption) {
    super(`interrupted by ${by}`);
    this.by = by;
  }
}
