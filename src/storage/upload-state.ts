import { Failure } from "../jobs/failure.ts";

type Stage = "open" | "failed" | "completing" | "stored" | "aborted";

/** An upload that `abort` ended. */
interface Aborted {
  /** The error of the write that failed, or else that of the abort. */
  readonly error: unknown;
  /** The object may be visible: a request or a rename that makes it so had started. */
  readonly mayBeVisible: boolean;
}

/**
 * How far an upload is. Every kind of upload has these states, and they change here only.
 *
 *     open ──a write fails──▶ failed
 *     open ──commit starts to make the object visible──▶ completing ──commit succeeds──▶ stored
 *     open, failed, completing ──abort, also by a commit that fails──▶ aborted
 *
 * A step that comes too late changes nothing: a part that fails after the abort, for example.
 */
export class UploadState {
  #stage: Stage = "open";
  #error: unknown;

  /** @throws the error of the write that failed, or a `Failure` where the upload has ended */
  assertOpen(): void {
    if (this.#stage === "open") return;
    throw this.#error ?? new Failure("UPLOAD_UNAVAILABLE", "the upload has already ended");
  }

  /** A write failed: later writes and the commit fail with the same error. */
  fail(error: unknown): void {
    if (this.#stage !== "open") return;
    this.#stage = "failed";
    this.#error = error;
  }

  /** The next step may make the object visible. */
  complete(): void {
    if (this.#stage === "open") this.#stage = "completing";
  }

  /** The object is visible, and `abort` does nothing from now on. */
  store(): void {
    if (this.#stage === "completing") this.#stage = "stored";
  }

  /** Ends the upload; `undefined` where it has ended before. */
  abort(): Aborted | undefined {
    if (this.#stage === "stored" || this.#stage === "aborted") return undefined;
    const mayBeVisible = this.#stage === "completing";
    this.#stage = "aborted";
    this.#error ??= new Failure("UPLOAD_UNAVAILABLE", "the upload was aborted");
    return { error: this.#error, mayBeVisible };
  }
}
