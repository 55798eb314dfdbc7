import type { Failure } from "../jobs/failure.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { PoisonTask } from "../jobs/stores/recovery.ts";
import type { OrphanCleaner } from "./orphan-cleaner.ts";

export interface RecoverDeps {
  readonly queue: Pick<QueueParts, "recover">;
  readonly cleaner: Pick<OrphanCleaner, "begin">;
  /** Whether a request of the last process may still store its object. */
  readonly storesLate: boolean;
  /** Removes what a task that is about to be buried may have stored. */
  readonly retract: (doomed: PoisonTask, signal: AbortSignal) => Promise<void>;
  /** What such a task may have stored could not be removed. */
  readonly onLeftOver: (what: { bucket: string; key: string }, failure: Failure) => void;
  readonly signal: AbortSignal;
}

export interface Recovered {
  /** Tasks that were claimed when the process died. */
  readonly interrupted: number;
  /** Those of them that run alone now. */
  readonly suspects: number;
  /** Jobs whose acceptance never came. */
  readonly sweptJobs: number;
  readonly abortedUploads: number;
}

/**
 * Puts right what a crash left: claims, jobs half written, open uploads. For start-up, before the first claim. The
 * queue comes first: its first commit must be the one that brings waits into this process's time.
 */
export async function recover(deps: RecoverDeps): Promise<Recovered> {
  const { queue, cleaner, storesLate, retract, onLeftOver, signal } = deps;
  const recovered = await queue.recover(async (doomed) => {
    try {
      await retract(doomed, signal);
    } catch (error) {
      onLeftOver(doomed.task, error as Failure);
    }
  }, storesLate);
  return { ...recovered, abortedUploads: await cleaner.begin(signal) };
}
