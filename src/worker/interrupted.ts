/** Why a running task was stopped; it is put back and no attempt is spent. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
  readonly by: "shutdown" | "cancel";

  constructor(by: "shutdown" | "cancel") {
    super(`interrupted by ${by}`);
    this.by = by;
  }
}
