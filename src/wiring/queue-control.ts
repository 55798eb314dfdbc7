import type { QueueEndpointsDeps } from "../api/queue-endpoints.ts";
import type { TaskQueue } from "../sqlite/queue.ts";
import type { Work } from "./work.ts";

/** Of so many hosts the report tells. */
const HOSTS = 20;

/** What the API shows of the queue, and its switch. */
export function createQueueControl(
  queue: TaskQueue,
  { broker, pool, hosts: { governor } }: Pick<Work, "broker" | "pool" | "hosts">,
): QueueEndpointsDeps {
  return {
    async setPaused(paused) {
      await queue.setPaused(paused);
      if (paused) await broker.pause();
      else broker.resume();
    },
    queueReport() {
      const running = governor.running();
      const waiting = queue.busiestHosts(HOSTS);
      // One that only runs has nothing waiting, and is at work all the same.
      const busy = new Map<string, number>([...[...running.keys()].map((host) => [host, 0] as const), ...waiting]);
      const hosts = [...busy].map(([host, tasks]) => ({
        host,
        waiting: tasks,
        running: running.get(host) ?? 0,
        limit: governor.limit(host),
        closed_for_ms: Math.round(governor.closedFor(host)),
      }));
      return {
        ...queue.depth(),
        paused: queue.isPaused(),
        oldest_pending_age_ms: queue.oldestPendingAgeMs(),
        workers: { total: pool.total, busy: pool.busy },
        hosts: hosts.toSorted((a, b) => b.running + b.waiting - a.running - a.waiting).slice(0, HOSTS),
      };
    },
  };
}
