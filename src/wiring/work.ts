import type { Config } from "../config/schema.ts";
import { Broker } from "../dispatch/broker.ts";
import type { BrokerSource } from "../dispatch/broker-ports.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { Task } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import type { OrphanCleaner } from "../maintenance/orphan-cleaner.ts";
import { BulkOperationRunner } from "../operations/bulk-operation-runner.ts";
import { Cancellation } from "../operations/cancellation.ts";
import type { Clock, PeriodicTask } from "../std/clock.ts";
import { BucketHealth } from "../storage/bucket-health.ts";
import { JobRates } from "../telemetry/rates/job-rates.ts";
import { RateHistory } from "../telemetry/rates/rate-history.ts";
import { RecentRate } from "../telemetry/recent-rate.ts";
import { createTaskReport } from "../telemetry/task-report.ts";
import { timedStore } from "../telemetry/timed-store.ts";
import type { ConfiguredHeaders } from "../worker/configured-headers.ts";
import { readDescriptorLimit } from "../worker/descriptors.ts";
import type { ActiveDownloads } from "../worker/download/active-downloads.ts";
import type { HostActivity } from "../worker/hosts/host-activity.ts";
import type { HostGovernor } from "../worker/hosts/host-governor.ts";
import type { RateWaits } from "../worker/hosts/rate-limit.ts";
import { OverdueAttempts } from "../worker/overdue-attempts.ts";
import { WorkerPool } from "../worker/pool.ts";
import { removeOrphan } from "../worker/remove-orphan.ts";
import { SecretMask } from "../worker/secret-mask.ts";
import type { Service } from "../worker/service.ts";
import { createSettle, type Settle } from "../worker/settle.ts";
import { createDownloadService } from "./downloads/download-service.ts";
import { createConfiguredHeaders } from "./downloads/header-tables.ts";
import { createHosts, type Hosts, hostTasks } from "./downloads/host-wiring.ts";
import { handlerSecrets, hostSecrets, proxySecrets } from "./downloads/sent-secrets.ts";
import { countWorkers, descriptorTask, whileDescriptorsLast } from "./downloads/worker-count.ts";
import type { Foundation } from "./foundation.ts";
import { rateSamplingTask } from "./overview/rate-sampling.ts";
import { createOrphanCleaner, orphanTask } from "./storage/orphan-wiring.ts";

/** The path from the queue to the storage: the broker, its channel, and the workers that read from it. */
export interface Work {
  readonly broker: Broker;
  readonly pool: WorkerPool;
  readonly buckets: BucketHealth;
  /** Reasons for operators why the workers are held up; empty when all is well. */
  readonly problems: () => readonly string[];
  readonly cancellation: Cancellation;
  readonly bulkOperations: BulkOperationRunner;
  readonly orphanCleaner: OrphanCleaner;
  readonly periodicTasks: readonly PeriodicTask[];
  readonly hosts: Hosts;
  readonly configuredHeaders: ConfiguredHeaders;
  /** Secrets of the configuration that requests carry. */
  readonly secrets: SecretMask;
  readonly rates: Rates;
  /** Workers that wait for their rate. */
  readonly rateWaits: Readonly<RateWaits>;
}

/** Rates of the last seconds. */
interface Rates {
  /** Downloads that started. */
  readonly started: RecentRate;
  readonly stored: RecentRate;
  readonly failed: RecentRate;
  /** Tasks that ended: stored, failed for good or cancelled. */
  readonly ended: RecentRate;
  /** The rates of each running job. */
  readonly jobs: JobRates;
  /** The figures of the last day. */
  readonly history: RateHistory;
}

/** Tasks that the broker holds at least, so that no worker waits for a commit. */
const WINDOW_MIN = 128;
/** The interval in which the speeds of the downloads are measured. */
const SPEED_EVERY_MS = 1000;
/** Period of the rates that operators see. */
const RATE_SECONDS = 60;
/**
 * Period of the rate that shows whether the workers' own limit holds them up. It is short, to show a closed host at
 * once.
 */
const STARTED_SECONDS = 5;

export function createWork(config: Config, foundation: Foundation): Work {
  const { log, clock, stores, descriptors, onQueueError, stopping } = foundation;
  const { workers, problem } = countWorkers(config.queue.workers, readDescriptorLimit(), log);
  const buckets = new BucketHealth({ clock, watched: config.storage.bucket, onOpen: () => broker.wake() });
  const overdue = new OverdueAttempts();
  const hosts = createHosts(config.download, foundation, () => broker.wake());
  const { governor, activity } = hosts;
  const configuredHeaders = createConfiguredHeaders(config);
  const secrets = new SecretMask([...handlerSecrets(config), ...hostSecrets(config.download), ...proxySecrets(config)]);
  const broker: Broker = createBroker(config, foundation, { governor, buckets, workers });
  foundation.onEnoughDescriptors(() => broker.wake());
  const rates = createRates(clock, foundation.active);
  const rateWaits: RateWaits = { workers: 0 };
  const settle = createSettlement(foundation, rates);
  const parts = {
    workers,
    buckets,
    overdue,
    governor,
    activity,
    configuredHeaders,
    secrets,
    broker,
    rates,
    rateWaits,
    settle,
  };
  const pool = createPool(config, foundation, parts);
  const orphanCleaner = createOrphanCleaner(foundation);
  return {
    broker,
    pool,
    buckets,
    problems: () => [overdue.problem, descriptors.problem, problem].filter((text) => text !== undefined),
    cancellation: createCancellation(foundation, pool),
    bulkOperations: new BulkOperationRunner({
      deadLetterChanges: stores.queue.deadLetters,
      deadLetters: stores.deadLetters,
      clock,
      onQueueError,
      signal: stopping.signal,
    }),
    orphanCleaner,
    periodicTasks: [
      ...hostTasks(hosts, settle, config.queue.max_throttle_ms, foundation),
      orphanTask(orphanCleaner, foundation),
      descriptorTask(descriptors),
      { everyMs: SPEED_EVERY_MS, run: () => foundation.active.sample(clock.monotonic()) },
      rateSamplingTask({ history: rates.history, stores, active: foundation.active }),
    ],
    hosts,
    configuredHeaders,
    secrets,
    rates,
    rateWaits,
  };
}

function createRates(clock: Clock, active: ActiveDownloads): Rates {
  return {
    started: new RecentRate(clock, STARTED_SECONDS),
    stored: new RecentRate(clock, RATE_SECONDS),
    failed: new RecentRate(clock, RATE_SECONDS),
    ended: new RecentRate(clock, RATE_SECONDS),
    jobs: new JobRates(clock),
    history: new RateHistory(clock, () => active.bytesReceived),
  };
}

function createBroker(
  config: Pick<Config, "queue">,
  { stores, descriptors, clock, onQueueError }: Foundation,
  { governor, buckets, workers }: Pick<PoolParts, "governor" | "buckets" | "workers">,
): Broker {
  return new Broker({
    source: brokerSource(stores.queue),
    hosts: whileDescriptorsLast(governor, descriptors),
    buckets,
    clock,
    channelSize: config.queue.channel_size,
    windowSize: Math.max(WINDOW_MIN, workers * 2),
    onError: onQueueError,
  });
}

/** Settles tasks in the queue, and counts and reports those that end. */
function createSettlement(foundation: Foundation, rates: Rates): Settle {
  const { log, clock, metrics, store, stores, keys, onQueueError, stopping } = foundation;
  return createSettle({
    settleInQueue: (settlement) => stores.queue.settlements.settle(settlement),
    store,
    keys,
    report: countEnds(rates, createTaskReport(log, metrics, clock)),
    onLeftOver: leftOverLog(log, FAILED_LEFT_OVER),
    onTrouble: onQueueError,
    clock,
    signal: stopping.signal,
  });
}

/** The parts of the work that the worker pool uses. */
interface PoolParts extends Pick<Work, "broker" | "buckets" | "configuredHeaders" | "secrets" | "rates"> {
  readonly workers: number;
  readonly overdue: OverdueAttempts;
  readonly governor: HostGovernor;
  readonly activity: HostActivity;
  readonly rateWaits: RateWaits;
  readonly settle: Settle;
}

function createPool(config: Config, foundation: Foundation, parts: PoolParts): WorkerPool {
  const { log, clock, metrics, stores, keys, onQueueError } = foundation;
  const { settlements, cancellations } = stores.queue;
  const { workers, broker, governor, rates, settle } = parts;
  return new WorkerPool({
    workers,
    createService: createDownloads(config, foundation, parts),
    channel: broker.channel,
    onStart: (claimed) => {
      rates.started.note();
      if (claimed.history.length === 0) metrics.waited(Math.max(0, clock.now() - claimed.job.createdAt) / 1000);
      return settlements.markStarted(claimed).then(
        () => true,
        (error: unknown) => {
          onQueueError(error);
          return false;
        },
      );
    },
    onEnd: (claimed) => broker.ended(claimed),
    settle,
    keys,
    governor,
    policy: {
      maxRetries: config.queue.max_retries,
      backoffMs: config.queue.retry_backoff_ms,
      backoffMaxMs: config.queue.retry_backoff_max_ms,
      maxThrottleMs: config.queue.max_throttle_ms,
      maxUnavailableMs: config.storage.max_unavailable_ms,
    },
    clock,
    random: Math.random,
    isCancelled: ({ job }) => cancellations.isCancelling(job.seq),
    onError: (error) => log.error({ err: error }, "a task could not be settled; the next start requeues it"),
  });
}

/** Makes one worker's download service. */
function createDownloads(config: Config, foundation: Foundation, parts: PoolParts): () => Service {
  const { log, clock, metrics, store, stores, version, network, keys, policy, active, descriptors, tracer } =
    foundation;
  const { configuredHeaders, secrets, governor, activity, buckets, overdue, rateWaits } = parts;
  return createDownloadService({
    config,
    configuredHeaders,
    secrets,
    version,
    network,
    store: timedStore(store, clock, (seconds) => metrics.uploaded(seconds)),
    queue: stores.queue,
    keys,
    policy,
    governor,
    activity,
    buckets,
    active,
    overdue,
    descriptors,
    clock,
    tracer,
    rateWaits,
    onProxyFailure: (pool) => metrics.proxyFailed(pool),
    onProxyRest: ({ pool, url }, ms, reason) => {
      log.warn({ pool, proxy: url, rest_ms: ms, reason }, "a proxy failed: it rests, the others of its pool are used");
    },
  });
}

/** The broker's view of the queue. */
function brokerSource({ source, settlements, cancellations }: QueueParts): BrokerSource {
  return {
    lanes: (limit, after) => source.lanes(limit, after),
    onLane: (listener) => source.onLane(listener),
    claim: (requests) => source.claim(requests),
    release: (claimed) => settlements.release(claimed),
    isCancelling: (job) => cancellations.isCancelling(job),
  };
}

/** A report that also counts the tasks that end or are tried again. */
function countEnds({ stored, failed, ended, jobs, history }: Rates, report: (settlement: Settlement) => void) {
  return (settlement: Settlement) => {
    const { verdict, claimed } = settlement;
    const isStored = verdict.kind === "complete";
    if (verdict.kind === "complete") {
      stored.note();
      history.add("completed");
    }
    if (verdict.kind === "discard") {
      failed.note();
      history.add("failed");
    }
    if (verdict.kind === "retry" || verdict.kind === "snooze") history.add("retried");
    if (isStored || verdict.kind === "discard" || verdict.kind === "cancel") {
      ended.note();
      jobs.note(claimed.job.seq, isStored);
    }
    report(settlement);
  };
}

const FAILED_LEFT_OVER = "an object that a failed task may have stored could not be removed now";
const CANCELLED_LEFT_OVER = "an object that a cancelled task may have stored could not be removed now";

/** Logs that an object without an owner could not be removed. */
function leftOverLog(log: Foundation["log"], message: string): (task: Task, error: unknown) => void {
  return ({ bucket, key }, error) => log.warn({ bucket, key, err: error }, message);
}

function createCancellation({ stores, store, keys, log, clock, stopping, onQueueError }: Foundation, pool: WorkerPool) {
  const onLeftOver = leftOverLog(log, CANCELLED_LEFT_OVER);
  return new Cancellation({
    cancellations: stores.queue.cancellations,
    stopRunning: (job) => pool.cancel(job),
    removeOrphan: async (waiting) => {
      try {
        await removeOrphan(waiting, { store, keys }, stopping.signal);
      } catch (error) {
        onLeftOver(waiting.task, error);
      }
    },
    onQueueError,
    clock,
    signal: stopping.signal,
  });
}
