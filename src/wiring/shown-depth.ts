import type { TaskQueue } from "../sqlite/queue/task-queue.ts";
import type { ActiveDownloads } from "../worker/download/active-downloads.ts";

/** The queue's depth as it is shown: what is claimed and in nobody's hands yet still waits. */
export function shownDepth(queue: Pick<TaskQueue, "depth">, active: Pick<ActiveDownloads, "count">) {
  const { pending, running, retrying } = queue.depth();
  const busy = Math.min(running, active.count);
  return { pending: pending + running - busy, running: busy, retrying };
}
