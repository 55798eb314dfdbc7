import type { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";

/** Longer than a healthy storage ever takes to say that a bucket is there. */
const CHECK_TIMEOUT_MS = 5000;

/** Looks after the storage for readiness: what the last check found. */
export class StorageCheck {
  readonly #store: Pick<ObjectStore, "check">;
  readonly #bucket: string;
  #problem: string | undefined = "not checked yet";

  constructor(store: Pick<ObjectStore, "check">, bucket: string) {
    this.#store = store;
    this.#bucket = bucket;
  }

  /** Why the storage cannot be used, as of the last check. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async run(signal: AbortSignal): Promise<void> {
    const deadline = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    try {
      await this.#store.check(this.#bucket, AbortSignal.any([signal, deadline]));
      this.#problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      this.#problem = deadline.aborted ? `no answer within ${CHECK_TIMEOUT_MS} ms` : (error as Failure).message;
    }
  }
}
