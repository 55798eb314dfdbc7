import type { Failure } from "../jobs/failure.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { PoisonTask } from "../jobs/stores/recovery.ts";
import type { OrphanCleaner } from "./orphan-cleaner.ts";

export interface RecoverDeps {
  readonly queue: Pick<QueueParts, "recover">;
  readonly cleaner: Pick<OrphanCleaner, "begin">;
  /** True if a request of the last process may still store its object. */
  readonly storesLate: boolean;
  /** Removes an object that a poison task may have stored. */
  readonly removeOrphan: (poison: PoisonTask, signal: AbortSignal) => Promise<void>;
  /** Called when such an object could not be removed. */
  readonly onLeftOver: (object: { bucket: string; key: string }, failure: Failure) => void;
  readonly signal: AbortSignal;
}

interface Recovered {
  /** Tasks that were claimed when the process died. */
  readonly interrupted: number;
  /** The interrupted tasks that run alone now. */
  readonly suspects: number;
  /** Jobs that were never accepted. */
  readonly sweptJobs: number;
  readonly abortedUploads: number;
}

/**
 * Recovers from a crash: claims, jobs half written, open uploads. For the start, before the first claim. The queue
 * comes first: its first commit must be the one that moves waits to this process's clock.
 */
export async function recover(deps: RecoverDeps): Promise<Recovered> {
  const { queue, cleaner, storesLate, removeOrphan, onLeftOver, signal } = deps;
  const recovered = await queue.recover(async (poison) => {
    try {
      await removeOrphan(poison, signal);
    } catch (error) {
      onLeftOver(poison.task, error as Failure);
    }
  }, storesLate);
  return { ...recovered, abortedUploads: await cleaner.begin(signal) };
}
