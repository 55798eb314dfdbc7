import type { QueueControl } from "../jobs/stores/queue-control.ts";
import type { ActiveDownloads } from "../worker/download/active-downloads.ts";

/** The queue's depth as it is shown: what is claimed and in nobody's hands yet still waits. */
export function shownDepth(control: Pick<QueueControl, "depth">, active: Pick<ActiveDownloads, "count">) {
  const { pending, running, retrying } = control.depth();
  const busy = Math.min(running, active.count);
  return { pending: pending + running - busy, running: busy, retrying };
}
