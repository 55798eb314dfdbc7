import type { HostPermits } from "../../dispatch/broker-ports.ts";
import type { PeriodicTask } from "../../maintenance/scheduler.ts";
import type { Log } from "../../telemetry/log.ts";
import { type Descriptors, limitFor, workersThatFit } from "../../worker/descriptors.ts";

const CHECK_EVERY_MS = 250;

/** Looks now and then whether there are enough descriptors. */
export function descriptorChore(descriptors: Pick<Descriptors, "check">): PeriodicTask {
  return { everyMs: CHECK_EVERY_MS, run: () => descriptors.check() };
}

/** Permits of the hosts, none of them while there are too few descriptors. */
export function whileDescriptorsLast(hosts: HostPermits, descriptors: Pick<Descriptors, "problem">): HostPermits {
  return {
    room: (host) => (descriptors.problem === undefined ? hosts.room(host) : 0),
    limit: (host) => hosts.limit(host),
    get hasClosed() {
      return hosts.hasClosed;
    },
    closedFor: (host) => hosts.closedFor(host),
    acquire: (host) => hosts.acquire(host),
    release: (host) => hosts.release(host),
    nextOpening: (since) => hosts.nextOpening(since),
  };
}

/** How many workers are to run, and why that are fewer than wanted. */
export interface WorkerCount {
  readonly workers: number;
  readonly problem: string | undefined;
}

/** Counts the workers that the limit of open files has room for, and logs if that are fewer than wanted. */
export function countWorkers(wanted: number, limit: number | undefined, log: Log): WorkerCount {
  const workers = workersThatFit(wanted, limit);
  if (workers === wanted) return { workers, problem: undefined };
  const problem =
    `${workers} of ${wanted} workers run: the limit of open files is ${limit}; ` +
    `raise it to ${limitFor(wanted)} (LimitNOFILE=, ulimit -n), or lower queue.workers`;
  log.warn({ limit, workers, wanted }, problem);
  return { workers, problem };
}
