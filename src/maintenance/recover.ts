import type { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { DoomedTask } from "../sqlite/queue/recover.ts";
import type { TaskQueue } from "../sqlite/queue.ts";

export interface RecoverDeps {
  readonly queue: Pick<TaskQueue, "openUploads" | "forgetUpload" | "recover">;
  readonly store: Pick<ObjectStore, "abortUpload">;
  /** Removes what a task that is about to be buried may have stored. */
  readonly retract: (doomed: DoomedTask, signal: AbortSignal) => Promise<void>;
  /** Something of the storage could not be cleaned up; the next start tries again. */
  readonly onLeftOver: (what: { bucket: string; key: string }, failure: Failure) => void;
  readonly signal: AbortSignal;
}

export interface Recovered {
  /** Tasks that were claimed when the process died. */
  readonly interrupted: number;
  /** Jobs whose acceptance never came. */
  readonly sweptJobs: number;
  readonly abortedUploads: number;
}

/** Puts right what a crash left: open uploads, claims, jobs half written. For start-up, before the first claim. */
export async function recover({ queue, store, retract, onLeftOver, signal }: RecoverDeps): Promise<Recovered> {
  let abortedUploads = 0;
  for (const upload of queue.openUploads()) {
    const done = await attempt(() => store.abortUpload(upload, signal));
    if (done instanceof Error) {
      onLeftOver(upload, done);
      continue;
    }
    await queue.forgetUpload(upload);
    abortedUploads++;
  }
  const recovered = await queue.recover(async (doomed) => {
    const done = await attempt(() => retract(doomed, signal));
    if (done instanceof Error) onLeftOver(doomed.task, done);
  });
  return { ...recovered, abortedUploads };
}

async function attempt(action: () => Promise<void>): Promise<undefined | Failure> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error as Failure;
  }
}
