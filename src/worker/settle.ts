import type { ObjectStore } from "../jobs/object-store.ts";
import type { ClaimedTask, Task } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import { type Clock, delay } from "../std/clock.ts";
import type { KeyGuard } from "../storage/key-guard.ts";
import { removeOrphan } from "./remove-orphan.ts";

export type Settle = (settlement: Settlement) => Promise<void>;

export interface SettleDeps {
  /** Carries a verdict out in the queue; false if the claim is stale. */
  readonly settleInQueue: (settlement: Settlement) => Promise<boolean>;
  readonly store: Pick<ObjectStore, "head" | "remove">;
  readonly keys: Pick<KeyGuard, "remove">;
  /** Told once what became of each attempt: the one place that logs and counts it. */
  readonly report: (settlement: Settlement) => void;
  /** What a task that ends without its object may have stored could not be removed now. */
  readonly onLeftOver: (task: Task, error: unknown) => void;
  /** The queue cannot be written to (a full disk); it is tried again. */
  readonly onTrouble: (error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const RETRY_MS = 1000;

/**
 * Ends a task's claim as decided. While the queue cannot be written to it tries again, because nobody else may end
 * the claim; only the end of the process stops it, and then start-up puts the task back.
 */
export function createSettle(deps: SettleDeps): Settle {
  return async (settlement) => {
    if (isDisowned(settlement)) await tryRetract(settlement.claimed, deps);
    for (;;) {
      try {
        if (await deps.settleInQueue(settlement)) deps.report(settlement);
        return;
      } catch (error) {
        deps.onTrouble(error);
        await delay(deps.clock, RETRY_MS, deps.signal);
      }
    }
  };
}

/** Whether a task ends without its object, which an attempt may have left all the same. */
function isDisowned({ claimed, verdict, upload }: Settlement): boolean {
  if (verdict.kind !== "cancel" && verdict.kind !== "discard") return false;
  return claimed.mayHaveStored || upload?.uploadBegan === true;
}

/** The storage may be away; the task's end must not hang on it. */
async function tryRetract({ id, job, task }: ClaimedTask, deps: SettleDeps): Promise<void> {
  try {
    await removeOrphan({ id, jobId: job.jobId, task, holders: 1 }, deps, deps.signal);
  } catch (error) {
    deps.onLeftOver(task, error);
  }
}
