import type { Config } from "../config/schema.ts";
import { Broker } from "../dispatch/broker.ts";
import type { BrokerSource } from "../dispatch/broker-ports.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { Task } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import type { OrphanCleaner } from "../maintenance/orphan-cleaner.ts";
import type { PeriodicTask } from "../maintenance/scheduler.ts";
import { BulkOperationRunner } from "../operations/bulk-operation-runner.ts";
import { Cancellation } from "../operations/cancellation.ts";
import { BucketHealth } from "../storage/bucket-health.ts";
import { RecentRate } from "../telemetry/recent-rate.ts";
import { createTaskReport } from "../telemetry/task-report.ts";
import { timedStore } from "../telemetry/timed-store.ts";
import type { ConfiguredHeaders } from "../worker/configured-headers.ts";
import { readDescriptorLimit } from "../worker/descriptors.ts";
import type { RateWaits } from "../worker/hosts/rate-limit.ts";
import { OverdueAttempts } from "../worker/overdue-attempts.ts";
import { WorkerPool } from "../worker/pool.ts";
import { removeOrphan } from "../worker/remove-orphan.ts";
import { SecretMask } from "../worker/secret-mask.ts";
import { createSettle } from "../worker/settle.ts";
import { createDownloadService } from "./downloads/download-service.ts";
import { createConfiguredHeaders } from "./downloads/header-tables.ts";
import { createHosts, type Hosts, hostChores } from "./downloads/host-wiring.ts";
import { handlerSecrets, hostSecrets, proxySecrets } from "./downloads/sent-secrets.ts";
import { countWorkers, descriptorChore, whileDescriptorsLast } from "./downloads/worker-count.ts";
import type { Foundation } from "./foundation.ts";
import { createOrphanCleaner, orphanChore } from "./storage/orphan-wiring.ts";

/** Queue to storage: the broker, its channel, and the workers at the other end. */
export interface Work {
  readonly broker: Broker;
  readonly pool: WorkerPool;
  readonly buckets: BucketHealth;
  /** What keeps the workers from their work, for operators; empty when all is well. */
  readonly problems: () => readonly string[];
  readonly cancellation: Cancellation;
  readonly bulkOperations: BulkOperationRunner;
  readonly orphanCleaner: OrphanCleaner;
  readonly chores: readonly PeriodicTask[];
  readonly hosts: Hosts;
  readonly configuredHeaders: ConfiguredHeaders;
  /** Of the configuration, as far as requests carry them. */
  readonly secrets: SecretMask;
  readonly rates: Rates;
  /** Workers that wait for their rate. */
  readonly rateWaits: Readonly<RateWaits>;
}

/** What happened of late. */
export interface Rates {
  /** Downloads that began. */
  readonly begun: RecentRate;
  readonly stored: RecentRate;
  readonly failed: RecentRate;
  /** Tasks that ended: stored, failed for good or cancelled. */
  readonly ended: RecentRate;
}

/** A batch of tasks big enough that no worker waits for a commit. */
const WINDOW_MIN = 128;
/** Rates that are shown are of the last so many seconds at most. */
const RATE_SECONDS = 60;
/** Whether the workers' own rate limits them is judged by fewer: a host that has just closed must show at once. */
const BEGUN_SECONDS = 5;

export function createWork(config: Config, foundation: Foundation): Work {
  const { log, clock, version, metrics, store, stores, policy, active, keys, tracer, descriptors, onQueueTrouble } =
    foundation;
  const { queue } = stores;
  const { workers, problem } = countWorkers(config.queue.workers, readDescriptorLimit(), log);
  const timed = timedStore(store, clock, (seconds) => metrics.uploaded(seconds));
  const buckets = new BucketHealth({ clock, watched: config.storage.bucket, onOpen: () => broker.wake() });
  const overdue = new OverdueAttempts();
  const hosts = createHosts(config.download, foundation, () => broker.wake());
  const { governor } = hosts;
  const configuredHeaders = createConfiguredHeaders(config);
  const secrets = new SecretMask([...handlerSecrets(config), ...hostSecrets(config.download), ...proxySecrets(config)]);
  const broker: Broker = new Broker({
    source: brokerSource(queue),
    hosts: whileDescriptorsLast(governor, descriptors),
    buckets,
    clock,
    channelSize: config.queue.channel_size,
    windowSize: Math.max(WINDOW_MIN, workers * 2),
    onError: onQueueTrouble,
  });
  foundation.onEnoughDescriptors(() => broker.wake());
  const rates = {
    begun: new RecentRate(clock, BEGUN_SECONDS),
    stored: new RecentRate(clock, RATE_SECONDS),
    failed: new RecentRate(clock, RATE_SECONDS),
    ended: new RecentRate(clock, RATE_SECONDS),
  };
  const rateWaits: RateWaits = { workers: 0 };
  const settle = createSettle({
    settleInQueue: (settlement) => queue.settlements.settle(settlement),
    store,
    keys,
    report: countEnds(rates, createTaskReport(log, metrics, clock)),
    onLeftOver: leftOverLog(log, "what a failed task may have stored could not be removed now"),
    onTrouble: onQueueTrouble,
    clock,
    signal: foundation.stopping.signal,
  });
  const pool = new WorkerPool({
    workers,
    createService: createDownloadService({
      config,
      configuredHeaders,
      secrets,
      version,
      network: foundation.network,
      store: timed,
      queue,
      keys,
      policy,
      governor,
      buckets,
      active,
      overdue,
      descriptors,
      clock,
      tracer,
      rateWaits,
      onProxyFailure: (name) => metrics.proxyFailed(name),
      onProxyRest: ({ pool: name, url }, ms, reason) => {
        log.warn(
          { pool: name, proxy: url, rest_ms: ms, reason },
          "a proxy does not work: it rests, the others are used",
        );
      },
    }),
    channel: broker.channel,
    onStart: (claimed) => {
      rates.begun.note();
      if (claimed.history.length === 0) metrics.waited(Math.max(0, clock.now() - claimed.job.createdAt) / 1000);
      return queue.settlements.markStarted(claimed).then(
        () => true,
        (error: unknown) => {
          onQueueTrouble(error);
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
    isCancelled: ({ job }) => queue.cancellations.isCancelling(job.seq),
    onError: (error) => log.error({ err: error }, "a task could not be settled; start-up puts it back"),
  });
  const orphanCleaner = createOrphanCleaner(foundation);
  return {
    broker,
    pool,
    buckets,
    problems: () => [overdue.problem, descriptors.problem, problem].filter((text) => text !== undefined),
    cancellation: createCancellation(foundation, pool),
    bulkOperations: new BulkOperationRunner({
      desk: queue.deadLetters,
      deadLetters: stores.deadLetters,
      clock,
      onTrouble: onQueueTrouble,
      signal: foundation.stopping.signal,
    }),
    orphanCleaner,
    chores: [
      ...hostChores(hosts, settle, config.queue.max_throttle_ms, foundation),
      orphanChore(orphanCleaner, foundation),
      descriptorChore(descriptors),
    ],
    hosts,
    configuredHeaders,
    secrets,
    rates,
    rateWaits,
  };
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

/** Counts the tasks that end, beside the report of them. */
function countEnds({ stored, failed, ended }: Rates, report: (settlement: Settlement) => void) {
  return (settlement: Settlement) => {
    const { kind } = settlement.verdict;
    if (kind === "complete") stored.note();
    if (kind === "discard") failed.note();
    if (kind === "complete" || kind === "discard" || kind === "cancel") ended.note();
    report(settlement);
  };
}

/** Tells of an object that nobody owns and that stayed. */
function leftOverLog(log: Foundation["log"], message: string): (task: Task, error: unknown) => void {
  return ({ bucket, key }, error) => log.warn({ bucket, key, err: error }, message);
}

function createCancellation(
  { stores, store, keys, log, clock, stopping, onQueueTrouble }: Foundation,
  pool: WorkerPool,
) {
  const onLeftOver = leftOverLog(log, "what a cancelled task may have stored could not be removed now");
  return new Cancellation({
    cancellations: stores.queue.cancellations,
    stopRunning: (job) => pool.cancel(job),
    retract: async (disowned) => {
      try {
        await removeOrphan(disowned, { store, keys }, stopping.signal);
      } catch (error) {
        onLeftOver(disowned.task, error);
      }
    },
    onTrouble: onQueueTrouble,
    clock,
    signal: stopping.signal,
  });
}
