import type { ObjectStore } from "../jobs/object-store.ts";
import type { Task } from "../jobs/task.ts";
import type { KeyGuard } from "../storage/key-guard.ts";

/** The identity of a task that fails for good, by which its object is recognised. */
interface OrphanedObject {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
  /** How many holds on the key are the task's own; 0 by default. */
  readonly holders?: number;
}

interface RemoveOrphanDeps {
  readonly store: Pick<ObjectStore, "head" | "remove">;
  readonly keys: Pick<KeyGuard, "remove">;
}

/**
 * Removes the object that an earlier attempt may have stored for a task that fails for good, and no other object.
 * Several jobs may write some keys: there the object's labels must name this task. While another task holds the key,
 * the orphan cleaner removes the object later.
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
