import type { HostPermits } from "../../dispatch/broker-ports.ts";
import type { PeriodicTask } from "../../std/clock.ts";
import type { Log } from "../../telemetry/log.ts";
import { type Descriptors, limitFor, workersThatFit } from "../../worker/descriptors.ts";

const CHECK_EVERY_MS = 250;

/** The task that checks periodically for a shortage of descriptors. */
export function descriptorTask(descriptors: Pick<Descriptors, "check">): PeriodicTask {
  return { everyMs: CHECK_EVERY_MS, run: () => descriptors.check() };
}

/** The permits of the hosts; no permit during a shortage of descriptors. */
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

/** The number of workers to run, with the reason if that is fewer than configured. */
interface WorkerCount {
  readonly workers: number;
  readonly problem: string | undefined;
}

/** The number of workers that the limit of open files has room for. A lower number than configured is logged. */
export function countWorkers(wanted: number, limit: number | undefined, log: Log): WorkerCount {
  const workers = workersThatFit(wanted, limit);
  if (workers === wanted) return { workers, problem: undefined };
  const problem =
    `${workers} of ${wanted} workers run: the limit of open files is ${limit}; ` +
    `raise it to ${limitFor(wanted)} (LimitNOFILE=, ulimit -n), or lower queue.workers`;
  log.warn({ limit, workers, wanted }, problem);
  return { workers, problem };
}
