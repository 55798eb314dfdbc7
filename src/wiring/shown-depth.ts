import type { QueueControl } from "../jobs/stores/queue-control.ts";
import type { ActiveDownloads } from "../worker/download/active-downloads.ts";

/** The depth of the queue as operators see it: a claimed task that no worker has started still waits. */
export async function shownDepth(control: Pick<QueueControl, "depth">, active: Pick<ActiveDownloads, "count">) {
  const { pending, running, retrying } = await control.depth();
  const busy = Math.min(running, active.count);
  return { pending: pending + running - busy, running: busy, retrying };
}
