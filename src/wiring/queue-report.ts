import type { QueueEndpointsDeps } from "../api/endpoints/queue-endpoints.ts";
import { BUSIEST_HOSTS_MAX, type QueueReport } from "../api/openapi/service-schemas.ts";
import { type HostLoad, isStandstill, limitingReason, type QueueMoment } from "../dispatch/limiting-reason.ts";
import { isClosed } from "../jobs/host-view.ts";
import type { QueueControl } from "../jobs/stores/queue-control.ts";
import type { HealthReport } from "../telemetry/health.ts";
import type { RecentRate } from "../telemetry/recent-rate.ts";
import type { Descriptors } from "../worker/descriptors.ts";
import type { ActiveDownloads } from "../worker/download/active-downloads.ts";
import { shownDepth } from "./shown-depth.ts";
import type { Work } from "./work.ts";

/** The rates cover at most this time, and so include shorter closures of a host. */
const LONG_CLOSED_MS = 60_000;

export interface QueueReportDeps {
  readonly work: Pick<Work, "broker" | "pool" | "hosts" | "buckets" | "rates" | "rateWaits">;
  readonly control: QueueControl;
  readonly active: ActiveDownloads;
  readonly descriptors: Pick<Descriptors, "problem">;
  /** `queue.rate_limit_per_worker`. */
  readonly ratePerWorker: number;
  /** True if queue.db cannot be written because its disk is full. */
  readonly isDiskFull: () => boolean;
  readonly health: () => HealthReport;
  readonly isStarting: () => boolean;
}

/** The queue report of the API and its pause switch. */
export function createQueueControl(deps: QueueReportDeps): QueueEndpointsDeps {
  const { control, work } = deps;
  return {
    async setPaused(paused, by) {
      const isChange = control.isPaused() !== paused;
      const pausedMs = await control.setPaused(paused, by);
      if (paused) await work.broker.pause();
      else {
        work.hosts.governor.resumed(pausedMs);
        work.broker.resume();
      }
      return isChange;
    },
    queueReport: () => queueReport(deps),
  };
}

async function queueReport(deps: QueueReportDeps): Promise<QueueReport> {
  const { control, work } = deps;
  // The figures of the stores come first; those of memory are then all of one moment.
  const figures = await readFigures(deps);
  const { depth } = figures;
  const hosts = hostLoads(deps, figures);
  const moment = momentOf(deps, figures, hosts);
  const limit = limitingReason(moment);
  const left = moment.waiting + depth.running;
  const standstill = limit !== undefined && isStandstill(limit, moment);
  // Work done before a standstill, or before the end of all work, is no present rate.
  const rateOf = (rate: Pick<RecentRate, "perSecond">) => (standstill || left === 0 ? 0 : rate.perSecond());
  return {
    ...depth,
    paused: control.isPaused(),
    oldest_pending_age_ms: figures.oldestAgeMs,
    workers: { total: work.pool.total, busy: work.pool.busy },
    hosts: hosts.map(hostRow),
    limited_by: limit === undefined ? null : { cause: limit.cause, reason: limit.reason, standstill },
    stored_per_second: oneDecimal(rateOf(work.rates.stored)),
    failed_per_second: oneDecimal(rateOf(work.rates.failed)),
    seconds_left: isForeseeable(deps, hosts, left) ? secondsLeft(left, rateOf(work.rates.ended), hosts) : null,
    closed_buckets: work.buckets.closed().map(({ bucket, code, message, closedForMs }) => ({
      bucket,
      code,
      message,
      closed_for_ms: Math.round(closedForMs),
    })),
  };
}

interface StoreFigures {
  readonly depth: Pick<QueueReport, "pending" | "running" | "retrying">;
  readonly oldestAgeMs: number;
  readonly nextDueMs: number | undefined;
  /** The same among hosts that have room. */
  readonly nextOpenDueMs: number | undefined;
  /** Waiting tasks by host. */
  readonly waiting: ReadonlyMap<string, number>;
}

/** What the report needs of the queue, read at once. */
async function readFigures({ control, active, work }: QueueReportDeps): Promise<StoreFigures> {
  const [depth, oldestAgeMs, nextDueMs, nextOpenDueMs, waiting] = await Promise.all([
    shownDepth(control, active),
    control.oldestPendingAgeMs(),
    control.nextDueMs(),
    control.nextDueMs((host) => work.hosts.governor.room(host) > 0),
    control.busiestHosts(BUSIEST_HOSTS_MAX),
  ]);
  return { depth, oldestAgeMs, nextDueMs, nextOpenDueMs, waiting };
}

/** False in a pause, and while most tasks wait for closed hosts: the rate of the other hosts does not hold for them. */
function isForeseeable({ control, work }: QueueReportDeps, hosts: readonly HostLoad[], left: number): boolean {
  if (control.isPaused()) return false;
  const isLongClosed = ({ host, state, closedForMs }: HostLoad) =>
    isClosed(state) && (work.hosts.governor.closedSinceMs(host) ?? 0) + closedForMs > LONG_CLOSED_MS;
  const closed = hosts.filter(isLongClosed).reduce((sum, { waiting }) => sum + waiting, 0);
  return closed <= left / 2;
}

/** `null` while no task ends. The tasks of a closed host cannot end before it opens. */
function secondsLeft(left: number, endedPerSecond: number, hosts: readonly HostLoad[]): number | null {
  if (left === 0) return 0;
  if (endedPerSecond === 0) return null;
  const closedMs = Math.max(0, ...hosts.map(({ waiting, closedForMs }) => (waiting === 0 ? 0 : closedForMs)));
  return Math.ceil(Math.max(left / endedPerSecond, closedMs / 1000));
}

function momentOf(
  { work, control, descriptors, ratePerWorker, isDiskFull, health, isStarting }: QueueReportDeps,
  { depth: { pending, running, retrying }, nextDueMs, nextOpenDueMs }: StoreFigures,
  hosts: readonly HostLoad[],
): QueueMoment {
  const { draining, components } = health();
  const { reason } = components.queue;
  const phase = isStarting() ? "starting" : "running";
  return {
    phase: draining ? "draining" : phase,
    isPaused: control.isPaused(),
    queueProblem: reason === undefined ? undefined : { reason, isDiskFull: isDiskFull() },
    waiting: pending + retrying,
    nextDueMs: work.broker.buffered > 0 ? 0 : (nextDueMs ?? 0),
    nextOpenDueMs,
    running,
    sinceEndedMs: work.rates.ended.sinceLastMs,
    workers: { total: work.pool.total, busy: work.pool.busy, waitingForRate: work.rateWaits.workers },
    ratePerWorker,
    begunPerSecond: work.rates.started.perSecond(),
    descriptorProblem: descriptors.problem,
    isOneAlone: work.broker.isOneAlone,
    closedBuckets: work.buckets.closed(),
    hosts,
  };
}

function oneDecimal(value: number): number {
  return Math.round(value * 10) / 10;
}

/** The busiest hosts, the one with most tasks first. */
function hostLoads({ active, work: { broker, hosts } }: QueueReportDeps, { waiting }: StoreFigures): HostLoad[] {
  const { governor } = hosts;
  const running = active.byHost();
  const permitted = governor.running();
  return [...new Set([...waiting.keys(), ...permitted.keys()])]
    .map((host) => {
      const runs = running.get(host) ?? 0;
      return {
        ...governor.view(host),
        host,
        // Tasks that were claimed ahead, and tasks that a worker is about to start, also wait.
        waiting: (waiting.get(host) ?? 0) + broker.aheadOf(host) + Math.max(0, (permitted.get(host) ?? 0) - runs),
        running: runs,
        limit: governor.concurrency(host),
        closedForMs: governor.closedFor(host),
      };
    })
    .toSorted((a, b) => b.running + b.waiting - a.running - a.waiting)
    .slice(0, BUSIEST_HOSTS_MAX);
}

function hostRow(load: HostLoad): QueueReport["hosts"][number] {
  return {
    host: load.host,
    waiting: load.waiting,
    running: load.running,
    limit: load.limit,
    closed_for_ms: Math.round(load.closedForMs),
    state: load.state,
    max_concurrency: load.maxConcurrency,
    rate_per_second: load.ratePerSecond,
    code: load.code ?? null,
    slowed_ms_ago: load.slowedMsAgo === undefined ? null : Math.round(load.slowedMsAgo),
  };
}
