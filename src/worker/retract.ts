import type { ObjectStore } from "../jobs/object-store.ts";
import type { Task } from "../jobs/task.ts";

/** A task that fails for good, as far as its object may tell whose it is. */
export interface Disowned {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
}

/**
 * Removes what an earlier attempt may have stored for a task that fails for good: ours, and nothing else. Under a key
 * that several jobs may write, the object itself must say that it is this task's.
 * @throws Failure, or the signal's reason
 */
export async function retract(
  { id, jobId, task }: Disowned,
  store: Pick<ObjectStore, "head" | "remove">,
  signal: AbortSignal,
): Promise<void> {
  if (!task.key.includes(jobId)) {
    const object = await store.head(task, signal);
    if (object?.labels["task"] !== String(id) || object.labels["job"] !== jobId) return;
  }
  await store.remove(task, signal);
}
