import type { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";

/** Longer than a healthy storage ever takes to say that a bucket is there. */
const CHECK_TIMEOUT_MS = 5000;

/** Buckets that get no work since a task for them failed. */
export interface ClosedBuckets {
  problems(): ReadonlyMap<string, unknown>;
  /** The bucket works again; `hasStored`: it has just taken an upload. */
  open(bucket: string, hasStored: boolean): void;
}

/** What a check came to: all is well, or there is a problem, or a doubt that is none yet. */
interface Finding {
  readonly problem?: string;
  readonly doubt?: string | undefined;
}

/**
 * Looks after the storage: after the bucket that readiness depends on, and after those that are closed. A closed bucket
 * opens when its check works after one that failed. A check that never failed knows nothing of what closed the bucket,
 * since one that can be read need not take uploads: then a small object opens it. So no bucket waits for a large and
 * slow task to try it.
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

  /** `undefined` if the check was interrupted. */
  async #look(bucket: string, signal: AbortSignal): Promise<Finding | undefined> {
    const deadline = AbortSignal.timeout(CHECK_TIMEOUT_MS);
    const both = AbortSignal.any([signal, deadline]);
    try {
      const doubt = await this.#store.check(bucket, both);
      const hasRecovered = this.#failed.delete(bucket) && doubt === undefined;
      if (hasRecovered) this.#closed.open(bucket, false);
      else if (await this.#takesUploads(bucket, both)) this.#closed.open(bucket, true);
      return { doubt };
    } catch (error) {
      if (signal.aborted) return undefined;
      this.#failed.add(bucket);
      return { problem: deadline.aborted ? `no answer within ${CHECK_TIMEOUT_MS} ms` : (error as Failure).message };
    }
  }

  /** False also for a bucket that is open. What it fails with is known: it closed the bucket. */
  async #takesUploads(bucket: string, signal: AbortSignal): Promise<boolean> {
    if (this.#store.tryUpload === undefined || !this.#closed.problems().has(bucket)) return false;
    try {
      await this.#store.tryUpload(bucket, signal);
      return true;
    } catch {
      return false;
    }
  }
}
