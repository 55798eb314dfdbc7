import type { ObjectStore } from "../jobs/object-store.ts";
import type { ClaimedTask, Task } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import { type Clock, delay } from "../std/clock.ts";
import type { KeyGuard } from "../storage/key-guard.ts";
import { removeOrphan } from "./remove-orphan.ts";

export type Settle = (settlement: Settlement) => Promise<void>;

interface SettleDeps {
  /** Applies a verdict to the queue; false if the claim is stale. */
  readonly settleInQueue: (settlement: Settlement) => Promise<boolean>;
  readonly store: Pick<ObjectStore, "head" | "remove">;
  readonly keys: Pick<KeyGuard, "remove">;
  /** Called once for each settled attempt: the only place that logs and counts it. */
  readonly report: (settlement: Settlement) => void;
  /** Called when the object of a task that ends without one could not be removed now. */
  readonly onLeftOver: (task: Task, error: unknown) => void;
  /** Called when a write to the queue fails (a full disk); another try follows. */
  readonly onTrouble: (error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const RETRY_MS = 1000;

/**
 * Makes the function that ends a task's claim as decided. While writes to the queue fail it tries again, because no
 * other component may end the claim. Only the end of the process stops it; then start-up puts the task back.
 */
export function createSettle(deps: SettleDeps): Settle {
  return async (settlement) => {
    if (mayLeaveOrphan(settlement)) await tryRemoveOrphan(settlement.claimed, deps);
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

/** Whether a task ends without an object although one of its attempts may have stored it. */
function mayLeaveOrphan({ claimed, verdict, upload }: Settlement): boolean {
  if (verdict.kind !== "cancel" && verdict.kind !== "discard") return false;
  return claimed.mayHaveStored || upload?.uploadBegan === true;
}

/** Reports a failure and continues: the task's end must not depend on the storage. */
async function tryRemoveOrphan({ id, job, task }: ClaimedTask, deps: SettleDeps): Promise<void> {
  try {
    await removeOrphan({ id, jobId: job.jobId, task, holders: 1 }, deps, deps.signal);
  } catch (error) {
    deps.onLeftOver(task, error);
  }
}
