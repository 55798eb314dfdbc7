import { operationRow } from "../../api/endpoints/operation-row.ts";
import { isoTime } from "../../api/http/iso-time.ts";
import { jsonText } from "../../api/http/json-response.ts";
import { LAST_HOUR_MAX, OVERVIEW_MAX, type Overview } from "../../api/openapi/overview-schemas.ts";
import type { QueueReport } from "../../api/openapi/service-schemas.ts";
import type { Stores } from "../../jobs/stores/service-stores.ts";
import type { Clock, PeriodicTask } from "../../std/clock.ts";
import type { DiskName, DiskUse, GaugeReads } from "../../telemetry/gauges.ts";
import { HEALTH_COMPONENTS, type HealthReport, overallHealth } from "../../telemetry/health.ts";
import { RECENT_SECONDS } from "../../telemetry/rates/rate-history.ts";
import type { Work } from "../work.ts";
import { attentionOf, type GrowingCode, shortened } from "./attention.ts";
import { DiskStates } from "./disk-states.ts";
import { FirstSeen } from "./first-seen.ts";

const OVERVIEW_BYTES_MAX = 16_384;
const HOUR_MS = 3_600_000;
/** A code with this many new dead letters in an hour needs attention. */
const GROWING_FROM = 100;
/** New dead letters of a code are counted up to this number. */
const GROWING_MAX = 1000;
/** The most frequent codes, whose new dead letters are counted. */
const CODES_EXAMINED = 10;
/** Above this number of waiting lanes, the tasks that wait for a bucket are not counted: it takes milliseconds. */
const LANES_EXAMINED = 5000;
const NOTE_EVERY_MS = 2000;

export interface OverviewDeps {
  /** Name of the instance, for people. */
  readonly name: string;
  readonly version: string;
  /** `queue.max_pending_tasks`. */
  readonly maxPending: number;
  readonly stores: Pick<Stores, "queue" | "ledger" | "deadLetters">;
  readonly work: Pick<Work, "rates" | "buckets" | "hosts">;
  readonly queueReport: () => Promise<QueueReport>;
  readonly health: () => HealthReport;
  readonly disks: GaugeReads["disks"];
  /** True if a store, or the local storage, cannot be written because its disk is full. */
  readonly isDiskFull: (store: DiskName) => boolean;
  readonly clock: Clock;
}

interface OverviewReport {
  readonly read: () => Promise<Overview>;
  /** Notes since when components are not healthy, and the sizes of the disks. */
  readonly periodicTask: PeriodicTask;
}

/** The overview of the service. Its cost does not depend on the number of jobs, tasks and dead letters. */
export function createOverview(deps: OverviewDeps): OverviewReport {
  const startedAt = isoTime(deps.clock.now());
  const unwell = new FirstSeen();
  let disks: ReadonlyMap<DiskName, DiskUse> = new Map();
  const noteHealth = (health: HealthReport) =>
    unwell.note(
      HEALTH_COMPONENTS.filter((name) => health.components[name].status !== "healthy"),
      deps.clock.now(),
    );
  return {
    periodicTask: {
      everyMs: NOTE_EVERY_MS,
      firstMs: 0,
      async run() {
        noteHealth(deps.health());
        // Here and not in `read`: a network disk that hangs must not take the overview with it.
        disks = await deps.disks();
      },
    },
    read: async () => {
      const health = deps.health();
      noteHealth(health);
      return fitted(await readOverview(deps, { startedAt, health, unwell, disks }));
    },
  };
}

/** An overview of at most `OVERVIEW_BYTES_MAX`: the least urgent items make room. */
function fitted(overview: Overview): Overview {
  for (let length = overview.attention.length; ; length--) {
    const shown = { ...overview, attention: overview.attention.slice(0, length) };
    if (length === 0 || Buffer.byteLength(jsonText(shown)) <= OVERVIEW_BYTES_MAX) return shown;
  }
}

interface Known {
  readonly startedAt: string;
  readonly health: HealthReport;
  readonly unwell: FirstSeen;
  readonly disks: ReadonlyMap<DiskName, DiskUse>;
}

async function readOverview(deps: OverviewDeps, { startedAt, health, unwell, disks }: Known): Promise<Overview> {
  const { stores, work, clock } = deps;
  const queue = await deps.queueReport();
  await stores.ledger.bringUpToDate();
  const [{ counts: jobs }, deadLetters, operations, buckets] = await Promise.all([
    stores.ledger.countJobs({}, 0),
    readDeadLetters(deps),
    stores.queue.deadLetters.operations(),
    closedBuckets(deps),
  ]);
  const states = new DiskStates(disks, deps.isDiskFull);
  const running = operations.filter(({ state }) => state === "running").slice(0, OVERVIEW_MAX.operations);
  const hosts = work.hosts.governor.counts();
  const sinceEndedMs = work.rates.ended.sinceLastMs;
  const pause = stores.queue.control.pause();
  const pausedAt = pause === undefined ? null : isoTime(pause.at);
  return {
    instance: { name: deps.name, version: deps.version, started_at: startedAt },
    health: overallHealth(health.components),
    queue: {
      pending: queue.pending,
      running: queue.running,
      retrying: queue.retrying,
      paused: queue.paused,
      paused_by: pause?.by ?? null,
      paused_at: pausedAt,
      oldest_pending_age_ms: queue.oldest_pending_age_ms,
      max_pending: deps.maxPending,
    },
    workers: queue.workers,
    rates: { window_seconds: RECENT_SECONDS, ...work.rates.history.recent() },
    drain_seconds: queue.seconds_left,
    jobs,
    dead_letters: { total: deadLetters.total, last_hour: deadLetters.lastHour, by_code: deadLetters.byCode },
    hosts: {
      known: work.hosts.governor.size,
      closed: hosts.waiting + hosts.breaker + hosts.probing,
      slowed: hosts.slowed,
    },
    buckets,
    stores: states.rows(),
    operations: running.map(operationRow),
    attention: attentionOf({
      health,
      componentSince: (name) => unwell.since(name),
      disks: states.scarce(),
      isDiskFull: deps.isDiskFull,
      queue,
      pausedAt,
      stillSince: stillSince(queue, { sinceEndedMs, now: clock.now() }),
      hostSince: (host) => {
        const ms = work.hosts.governor.closedSinceMs(host);
        return ms === undefined ? undefined : clock.now() - ms;
      },
      buckets,
      codes: deadLetters.growing,
      operations: running,
    }),
  };
}

/** The last end of a task, but no time before the oldest pending task came; `undefined` if no task ended yet. */
function stillSince(
  { oldest_pending_age_ms: oldestMs }: Pick<QueueReport, "oldest_pending_age_ms">,
  { sinceEndedMs, now }: { readonly sinceEndedMs: number; readonly now: number },
): number | undefined {
  if (!Number.isFinite(sinceEndedMs)) return undefined;
  return now - (oldestMs > 0 ? Math.min(sinceEndedMs, oldestMs) : sinceEndedMs);
}

async function readDeadLetters({ stores: { deadLetters }, clock }: OverviewDeps) {
  const since = clock.now() - HOUR_MS;
  const [total, lastHour, groups] = await Promise.all([
    deadLetters.size(),
    deadLetters.count({ since }, LAST_HOUR_MAX),
    deadLetters.groups("code", {}, CODES_EXAMINED),
  ]);
  const growing: GrowingCode[] = [];
  for (const { key: code, lastAt } of groups) {
    if (lastAt < since) continue;
    const added = await deadLetters.count({ code, since }, GROWING_MAX);
    if (added < GROWING_FROM) continue;
    growing.push({ code, since, added: added === GROWING_MAX ? `${GROWING_MAX} or more` : String(added) });
  }
  const byCode = groups.slice(0, OVERVIEW_MAX.codes).map(({ key, letters }) => ({ key, count: letters }));
  return { total, lastHour, byCode, growing };
}

function closedBuckets({ work, stores, clock }: OverviewDeps): Promise<Overview["buckets"]> {
  const closed = work.buckets.closed().slice(0, OVERVIEW_MAX.buckets);
  return Promise.all(
    closed.map(async ({ bucket, state, code, message, closedSinceMs }) => ({
      bucket,
      state,
      reason: shortened(`${code}: ${message}`),
      since: isoTime(clock.now() - closedSinceMs),
      waiting: (await stores.queue.control.waitingForBucket(bucket, LANES_EXAMINED)) ?? null,
    })),
  );
}
