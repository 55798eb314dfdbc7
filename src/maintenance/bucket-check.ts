import type { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { BucketHealth } from "../storage/bucket-health.ts";

/** A healthy storage answers a check of a bucket well within this time. */
const CHECK_TIMEOUT_MS = 5000;

/** The result of a check: the bucket works, or there is a problem, or a doubt that is no problem yet. */
interface Finding {
  readonly problem?: string;
  readonly doubt?: string | undefined;
}

type CheckedHealth = Pick<BucketHealth, "toBeChecked" | "checkFailed" | "checkWorked" | "toBeTried" | "trialWorked">;

/**
 * Checks the bucket that readiness depends on and the closed ones, and tries closed ones with a small upload. The
 * results go to `BucketHealth`, which decides when a bucket opens.
 */
export class StorageCheck {
  readonly #store: Pick<ObjectStore, "check" | "tryUpload">;
  readonly #health: CheckedHealth;
  #found: Finding = { problem: "not checked yet" };

  constructor(store: Pick<ObjectStore, "check" | "tryUpload">, health: CheckedHealth) {
    this.#store = store;
    this.#health = health;
  }

  /** Why the storage cannot be used, by the last check. */
  get problem(): string | undefined {
    return this.#found.problem;
  }

  /** Why the last check left it open whether the storage can be used. */
  get doubt(): string | undefined {
    return this.#found.doubt;
  }

  async run(signal: AbortSignal): Promise<void> {
    const [found] = await Promise.all(this.#health.toBeChecked().map((bucket) => this.#check(bucket, signal)));
    if (found !== undefined) this.#found = found;
  }

  /** Tries closed buckets with a small upload, so that they do not depend on a large and slow task as their probe. */
  async tryClosed(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#health.toBeTried().map((bucket) => this.#try(bucket, signal)));
  }

  /** `undefined` if the check was interrupted. */
  async #check(bucket: string, signal: AbortSignal): Promise<Finding | undefined> {
    const deadline = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    try {
      const doubt = await this.#store.check(bucket, AbortSignal.any([signal, deadline]));
      this.#health.checkWorked(bucket, doubt !== undefined);
      return { doubt };
    } catch (error) {
      if (signal.aborted) return undefined;
      this.#health.checkFailed(bucket);
      return { problem: deadline.aborted ? `no answer within ${CHECK_TIMEOUT_MS} ms` : (error as Failure).message };
    }
  }

  async #try(bucket: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#store.tryUpload(bucket, AbortSignal.any([signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)]));
      if (!signal.aborted) this.#health.trialWorked(bucket);
    } catch {
      // The bucket stays closed; the failure that closed it is known.
    }
  }
}
