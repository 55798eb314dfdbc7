import type { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";

/** Longer than a healthy storage ever takes to say that a bucket is there. */
const CHECK_TIMEOUT_MS = 5000;

/** Buckets that get no work since a task for them failed. */
export interface ClosedBuckets {
  problems(): ReadonlyMap<string, unknown>;
  /** Those whose time to be tried has come. */
  toBeTried(): readonly string[];
  /** The bucket works again. */
  open(bucket: string): void;
}

/** What a check came to: all is well, or there is a problem, or a doubt that is none yet. */
interface Finding {
  readonly problem?: string;
  readonly doubt?: string | undefined;
}

/**
 * Looks after the storage: after the bucket that readiness depends on, and after those that are closed. A closed bucket
 * opens when its check works after one that failed. A check that never failed knows nothing of what closed the bucket,
 * since one that can be read need not take uploads: a small upload finds out.
 */
export class StorageCheck {
  readonly #store: Pick<ObjectStore, "check" | "tryUpload">;
  readonly #bucket: string;
  readonly #closed: ClosedBuckets;
  readonly #failed = new Set<string>();
  #found: Finding = { problem: "not checked yet" };

  constructor(store: Pick<ObjectStore, "check" | "tryUpload">, bucket: string, closed: ClosedBuckets) {
    this.#store = store;
    this.#bucket = bucket;
    this.#closed = closed;
  }

  /** Why the storage cannot be used, as of the last check. */
  get problem(): string | undefined {
    return this.#found.problem;
  }

  /** Why the last check cannot tell whether the storage can be used. */
  get doubt(): string | undefined {
    return this.#found.doubt;
  }

  async run(signal: AbortSignal): Promise<void> {
    const closed = this.#closed.problems();
    for (const bucket of this.#failed) if (!closed.has(bucket) && bucket !== this.#bucket) this.#failed.delete(bucket);
    const others = [...closed.keys()].filter((bucket) => bucket !== this.#bucket);
    const [found] = await Promise.all([this.#bucket, ...others].map((bucket) => this.#look(bucket, signal)));
    if (found !== undefined) this.#found = found;
  }

  /** Tries closed buckets with a small upload, so that none waits for a large and slow task to try it. */
  async tryClosed(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#closed.toBeTried().map((bucket) => this.#try(bucket, signal)));
  }

  /** `undefined` if the check was interrupted. */
  async #look(bucket: string, signal: AbortSignal): Promise<Finding | undefined> {
    const deadline = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    try {
      const doubt = await this.#store.check(bucket, AbortSignal.any([signal, deadline]));
      // With a doubt it is for an upload to find out.
      if (this.#failed.delete(bucket) && doubt === undefined) this.#closed.open(bucket);
      return { doubt };
    } catch (error) {
      if (signal.aborted) return undefined;
      this.#failed.add(bucket);
      return { problem: deadline.aborted ? `no answer within ${CHECK_TIMEOUT_MS} ms` : (error as Failure).message };
    }
  }

  /** Opens a bucket where the upload works. What it fails with is known: it closed the bucket. */
  async #try(bucket: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#store.tryUpload(bucket, AbortSignal.any([signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)]));
      if (!signal.aborted) this.#closed.open(bucket);
    } catch {
      // It stays closed.
    }
  }
}
