import { type DiscardReason, type Replay } from "../../jobs/stores/dead-letter-changes.ts";
import { hostOf } from "../../jobs/task.ts";
import type { Changes } from "../group-commit.ts";
import { ensureLane } from "../queue/accept.ts";
import { type QueueContext } from "../queue/queue-context.ts";
import { requeue } from "../queue/settle-task.ts";
import { encodeHistory, encodeTask } from "../task-codec.ts";

/**
 * Requeues a task that failed for good: its attempts count from 0 and their history stays. False if it has no dead
 * letter any more: a repeated replay then changes no row. Runs inside a transaction.
 */
export function replayTask(context: QueueContext, replay: Replay, changes: Changes): boolean {
  const { id, task, history, availableAt } = replay;
  const job = takeDeadLetter(context, id, changes);
  if (job === undefined) return false;
  changes.addCount(job, "failed", -1);
  const lane = ensureLane(context, { job, host: hostOf(task.url), bucket: task.bucket }, availableAt);
  context.db
    .query<never, [number, number, Uint8Array, Uint8Array | null, number]>(
      `UPDATE tasks SET state = 'retrying', lane = ?, available_at = ?, attempts = 0, crashes = 0, waiting_class = NULL,
         waiting_since = NULL, payload = ?, history = ? WHERE id = ?`,
    )
    .run(lane, availableAt, encodeTask(task), encodeHistory(history), id);
  requeue(context, { lane, state: "retrying", availableAt }, changes);
  changes.events.push({
    at: context.clock.now(),
    job,
    kind: { $case: "taskReplayed", value: { task: id, resourceId: task.resourceId } },
  });
  return true;
}

/** Discards a dead letter; its task stays failed. False if there is none. Runs inside a transaction. */
export function discardDeadLetter(
  context: QueueContext,
  { id, resourceId }: { readonly id: number; readonly resourceId: string },
  reason: DiscardReason,
  changes: Changes,
): boolean {
  const job = takeDeadLetter(context, id, changes);
  if (job === undefined) return false;
  changes.events.push({
    at: context.clock.now(),
    job,
    kind: { $case: "letterDropped", value: { task: id, resourceId, reason } },
  });
  return true;
}

/** Removes the mark of a dead letter and returns the task's job; `undefined` if there is none. */
function takeDeadLetter(context: QueueContext, id: number, changes: Changes): number | undefined {
  const row = context.db
    .query<{ job: number }, [number]>("UPDATE tasks SET letter = 0 WHERE id = ? AND letter = 1 RETURNING job")
    .get(id);
  if (row === null) return undefined;
  changes.addCount(row.job, "letters", -1);
  return row.job;
}
