import type { HostView } from "../jobs/host-view.ts";
import type { Limit } from "../jobs/queue-limit.ts";
import { roughDuration } from "../std/duration-text.ts";

/** A host that tasks wait for. */
export interface HostLoad extends HostView {
  readonly host: string;
  readonly waiting: number;
  readonly running: number;
  /** Downloads that may run at once now; between two starts at its rate, too. */
  readonly limit: number;
  /** For how long no download may start, its rate included. */
  readonly closedForMs: number;
}

/** A bucket that cannot be written to. */
interface ClosedBucketLoad {
  readonly bucket: string;
  readonly code: string;
  readonly message: string;
  readonly closedForMs: number;
}

/** The queue and its workers at one moment. */
export interface QueueMoment {
  readonly phase: "starting" | "running" | "draining";
  readonly isPaused: boolean;
  /** Why queue.db cannot be written, and whether its disk is full. */
  readonly queueProblem: { readonly reason: string; readonly isDiskFull: boolean } | undefined;
  /** Waiting tasks, retries included. */
  readonly waiting: number;
  /** In how many milliseconds the first waiting task is due; 0: now. */
  readonly nextDueMs: number;
  /** The same for tasks whose host has room; `undefined` if there is none. */
  readonly nextOpenDueMs: number | undefined;
  readonly running: number;
  /** How long ago the last task ended. */
  readonly sinceEndedMs: number;
  readonly workers: { readonly total: number; readonly busy: number; readonly waitingForRate: number };
  readonly ratePerWorker: number;
  /** Downloads that started lately, per second. */
  readonly begunPerSecond: number;
  readonly descriptorProblem: string | undefined;
  /** Whether a task that may have crashed the process runs alone. */
  readonly isOneAlone: boolean;
  readonly closedBuckets: readonly ClosedBucketLoad[];
  /** The hosts with the most tasks. */
  readonly hosts: readonly HostLoad[];
}

/** From this part of the permitted rate on, the rate is the limit. */
const RATE_REACHED = 0.9;
/** Without a start or an end for this time, in milliseconds, there is a standstill. */
const STILL_MS = 5000;

/** Why no more downloads run; `undefined` if no task waits, or the waiting tasks are about to start. */
export function limitingReason(moment: QueueMoment): Limit | undefined {
  const stopped = standstill(moment);
  if (stopped !== undefined || moment.waiting === 0) return stopped;
  if (moment.descriptorProblem !== undefined)
    return { cause: "descriptors", reason: `file descriptors: ${moment.descriptorProblem}` };
  return busyWorkers(moment) ?? nothingToGive(moment);
}

/** Whether nothing runs because of the limit. A gap between two starts at a rate is no standstill. */
export function isStandstill({ cause }: Limit, moment: QueueMoment): boolean {
  const { running, nextDueMs, nextOpenDueMs = nextDueMs, sinceEndedMs } = moment;
  if (running > 0 || cause === "rate_limit") return false;
  if (cause === "not_due") return Math.max(sinceEndedMs, nextOpenDueMs) > STILL_MS;
  if (cause !== "hosts") return true;
  const waiting = moment.hosts.filter((host) => host.waiting > 0);
  if (waiting.some(({ state }) => state === "rate")) return false;
  return sinceEndedMs > STILL_MS || waiting.every(({ closedForMs }) => closedForMs > STILL_MS);
}

/** The limit that stops all tasks, whatever waits. */
function standstill({ phase, queueProblem, isPaused }: QueueMoment): Limit | undefined {
  if (phase === "draining") {
    return { cause: "draining", reason: "the stop of the service: running downloads finish, the next start continues" };
  }
  if (queueProblem?.isDiskFull === true) {
    return { cause: "disk_full", reason: `the full disk of queue.db (${queueProblem.reason})` };
  }
  if (queueProblem !== undefined) {
    return { cause: "queue", reason: `queue.db, which cannot be written (${queueProblem.reason})` };
  }
  if (phase === "starting") return { cause: "starting", reason: "the start of the service: it recovers first" };
  return isPaused ? { cause: "paused", reason: "a pause of the queue; fetchbox resume ends it" } : undefined;
}

/** The workers' own rate if it is reached; the number of workers if none of them waits for a task. */
function busyWorkers(moment: QueueMoment): Limit | undefined {
  const { ratePerWorker, begunPerSecond } = moment;
  const { total, busy, waitingForRate } = moment.workers;
  if (busy < total && !couldBegin(moment)) return undefined;
  const isNoneFree = busy + waitingForRate >= total;
  const most = total * ratePerWorker;
  const isRateReached = ratePerWorker > 0 && busy + waitingForRate > 0 && begunPerSecond >= RATE_REACHED * most;
  if (isRateReached || (isNoneFree && waitingForRate > busy)) {
    const sum = `${total} ${total === 1 ? "worker" : "workers"} × ${ratePerWorker}/s = ${most}/s`;
    return { cause: "rate_limit", reason: `queue.rate_limit_per_worker: ${sum}` };
  }
  if (!isNoneFree) return undefined;
  const others = busy === total ? "" : `, the others rest for queue.rate_limit_per_worker (${ratePerWorker}/s)`;
  return { cause: "workers", reason: `queue.workers: ${busy} of ${total} busy${others}` };
}

/** Whether a worker whose rate permits it would find a task. */
function couldBegin({ nextDueMs, hosts }: QueueMoment): boolean {
  return (
    nextDueMs === 0 &&
    !hosts.every(({ waiting, limit, closedForMs }) => waiting === 0 || limit === 0 || closedForMs > 0)
  );
}

/** The reason why workers wait although tasks do. */
function nothingToGive(moment: QueueMoment): Limit | undefined {
  const { isOneAlone, closedBuckets, nextDueMs, nextOpenDueMs = nextDueMs } = moment;
  if (isOneAlone) {
    return {
      cause: "suspect",
      reason: "a task that ran when the process crashed: it runs alone, the others wait for its end",
    };
  }
  if (closedBuckets.length > 0) return closedBucket(closedBuckets);
  const waiting = moment.hosts.filter((host) => host.waiting > 0);
  const held = waiting.filter(isHeld);
  if (held.length > 0 && held.length === waiting.length) return { cause: "hosts", reason: hostsText(held) };
  if (nextOpenDueMs === 0) return undefined;
  const others = held.length === 0 ? "" : `; ${hostsText(held)}`;
  return { cause: "not_due", reason: `due times: the first task is due in ${roughDuration(nextOpenDueMs)}${others}` };
}

function closedBucket(closed: readonly ClosedBucketLoad[]): Limit {
  const [first, ...others] = closed;
  if (first === undefined) throw new Error("no bucket is closed");
  const { bucket, code, message, closedForMs } = first;
  const again = closedForMs > 0 ? `, tried again in ${roughDuration(closedForMs)}` : ", being tried now";
  const more = others.length === 0 ? "" : `; also closed: ${others.map((other) => other.bucket).join(", ")}`;
  const isDiskFull = code === "UPLOAD_DISK_FULL";
  return {
    cause: isDiskFull ? "disk_full" : "storage",
    reason: `storage: bucket ${bucket} is closed (${code} ${message})${again}${more}`,
  };
}

/** Whether no download of the host may start now. */
function isHeld({ running, limit, state }: HostLoad): boolean {
  return running >= limit || state === "rate" || state === "probing";
}

function hostsText(held: readonly HostLoad[]): string {
  const [first] = held;
  if (held.length === 1 && first !== undefined) return `${first.host}: ${hostText(first)}`;
  const groups = [...Map.groupBy(held, groupOf)].map(([group, hosts]) => `${hosts.length} ${group}`);
  return `${held.length} hosts: ${groups.join(", ")}`;
}

function hostText(load: HostLoad): string {
  const { running, limit, maxConcurrency, ratePerSecond, code, closedForMs } = load;
  const why = code === undefined ? "" : ` (${code})`;
  switch (holdOf(load)) {
    case "breaker":
      return `its breaker is open${why}, tried again in ${roughDuration(closedForMs)}`;
    case "waiting":
      return `it asked for a pause${why}, over in ${roughDuration(closedForMs)}`;
    case "probing":
      return `one download tries whether it is back${why}`;
    case "slowed":
      return limit === 0
        ? `slowed to less than one download at once${why}`
        : `slowed to ${limit} of ${maxConcurrency} downloads at once${why}`;
    case "rate":
      return `download.host.rate_per_second: ${ratePerSecond}/s`;
    case "open":
      return `download.host.max_concurrency: ${running} of ${maxConcurrency} downloads run`;
  }
}

const GROUPS = {
  breaker: "with an open breaker",
  waiting: "asked for a pause",
  probing: "tried by one download",
  slowed: "slowed down",
  rate: "at rate_per_second",
  open: "at max_concurrency",
} as const;

function groupOf(load: HostLoad): string {
  return GROUPS[holdOf(load)];
}

/** The reason why a host is held. Its rate is none while as many downloads run as may. */
function holdOf({ state, running, limit }: HostLoad): HostLoad["state"] {
  return state === "rate" && running >= limit ? "open" : state;
}
