import type { ObjectStore } from "../jobs/object-store.ts";
import type { Task } from "../jobs/task.ts";
import type { KeyGuard } from "../storage/key-guard.ts";

/** A task that fails for good, as far as its object may tell whose it is. */
export interface OrphanedObject {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
  /** How often the task itself holds its key; absent: not at all. */
  readonly holders?: number;
}

export interface RemoveOrphanDeps {
  readonly store: Pick<ObjectStore, "head" | "remove">;
  readonly keys: Pick<KeyGuard, "remove">;
}

/**
 * Removes what an earlier attempt may have stored for a task that fails for good: ours, and nothing else. Under a key
 * that several jobs may write, the object itself must say that it is this task's; and while another task writes it, its
 * removal is left to the cleaner of orphans.
 * @throws Failure, or the signal's reason
 */
export async function removeOrphan(
  { id, jobId, task, holders = 0 }: OrphanedObject,
  { store, keys }: RemoveOrphanDeps,
  signal: AbortSignal,
): Promise<void> {
  if (task.key.includes(jobId)) return store.remove(task, signal);
  const removeOwn = async () => {
    const object = await store.head(task, signal);
    if (object?.labels["task"] === String(id) && object.labels["job"] === jobId) await store.remove(task, signal);
  };
  await keys.remove(task, removeOwn, holders);
}
