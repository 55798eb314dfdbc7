import type { QueueEndpointsDeps } from "../api/queue-endpoints.ts";
import { BUSIEST_HOSTS_MAX, type QueueReport } from "../api/schemas.ts";
import type { TaskQueue } from "../sqlite/queue.ts";
import type { ActiveDownloads } from "../worker/active-downloads.ts";
import type { Work } from "./work.ts";

export interface QueueControlDeps extends Pick<Work, "broker" | "pool" | "hosts"> {
  readonly queue: TaskQueue;
  readonly active: ActiveDownloads;
}

/** What the API shows of the queue, and its switch. */
export function createQueueControl(deps: QueueControlDeps): QueueEndpointsDeps {
  const { queue, broker, pool } = deps;
  return {
    async setPaused(paused) {
      const pausedMs = await queue.setPaused(paused);
      if (paused) return broker.pause();
      deps.hosts.governor.resumed(pausedMs);
      broker.resume();
    },
    queueReport: () => ({
      ...shownDepth(queue, deps.active),
      paused: queue.isPaused(),
      oldest_pending_age_ms: queue.oldestPendingAgeMs(),
      workers: { total: pool.total, busy: pool.busy },
      hosts: hostRows(deps),
    }),
  };
}

/** The queue's depth as it is shown: what is claimed and in nobody's hands yet still waits. */
export function shownDepth(queue: Pick<TaskQueue, "depth">, active: Pick<ActiveDownloads, "count">) {
  const { pending, running, retrying } = queue.depth();
  const busy = Math.min(running, active.count);
  return { pending: pending + running - busy, running: busy, retrying };
}

function hostRows({ queue, broker, active, hosts: { governor } }: QueueControlDeps): QueueReport["hosts"] {
  const running = new Map<string, number>();
  for (const { claimed } of active.list()) running.set(claimed.host, (running.get(claimed.host) ?? 0) + 1);
  const permitted = governor.running();
  const waiting = queue.busiestHosts(BUSIEST_HOSTS_MAX);
  return [...new Set([...waiting.keys(), ...permitted.keys()])]
    .map((host) => {
      const runs = running.get(host) ?? 0;
      return {
        host,
        // Those that were claimed ahead, and those that a worker is about to take.
        waiting: (waiting.get(host) ?? 0) + broker.aheadOf(host) + Math.max(0, (permitted.get(host) ?? 0) - runs),
        running: runs,
        limit: governor.limit(host),
        closed_for_ms: Math.round(governor.closedFor(host)),
      };
    })
    .toSorted((a, b) => b.running + b.waiting - a.running - a.waiting)
    .slice(0, BUSIEST_HOSTS_MAX);
}
