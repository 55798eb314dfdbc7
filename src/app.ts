import { networkInterfaces } from "node:os";
import { isLoopbackCaller } from "./api/accepted-host.ts";
import { createApi, type RunningServer, startServer } from "./api/server.ts";
import { formatBindAddress, isLoopback } from "./config/bind-address.ts";
import type { Config } from "./config/schema.ts";
import { Broker } from "./dispatch/broker.ts";
import type { Submit } from "./intake/submission.ts";
import { createSubmit } from "./intake/submit.ts";
import { type Clock, delay } from "./jobs/clock.ts";
import { createEgressPolicy, listensOn } from "./jobs/egress-policy.ts";
import { newJobId } from "./jobs/job.ts";
import type { ClaimedTask } from "./jobs/task.ts";
import { recover } from "./maintenance/recover.ts";
import { StorageCheck } from "./maintenance/storage-check.ts";
import { Upkeep } from "./maintenance/upkeep.ts";
import { openStores, type Stores } from "./sqlite/stores.ts";
import { watchEventLoop } from "./telemetry/event-loop-lag.ts";
import type { Log } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { createTaskReport } from "./telemetry/task-report.ts";
import { createDownloadService } from "./wiring/download-service.ts";
import { createFinalize } from "./wiring/finalize.ts";
import { allowedBuckets, loadHandlers } from "./wiring/handlers.ts";
import { createHealth, Troubles } from "./wiring/health.ts";
import { openObjectStore } from "./wiring/object-store.ts";
import { ActiveDownloads } from "./worker/active-downloads.ts";
import { HostGovernor } from "./worker/host-governor.ts";
import { WorkerPool } from "./worker/pool.ts";
import { retract } from "./worker/retract.ts";
import { createSettle } from "./worker/settle.ts";
import { StorageGate } from "./worker/storage-gate.ts";

export interface AppDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
}

/** The whole service, put together and not yet at work. */
export interface App {
  readonly submit: Submit;
  readonly stores: Stores;
  readonly active: ActiveDownloads;
  /** Opens the API. The URL that it answers on. @throws if the address is taken */
  listen(): string;
  /** Puts right what a crash left, then begins to work. */
  start(): Promise<void>;
  /** Takes no more jobs, lets running downloads finish for the grace period, puts the rest back, and closes. */
  stop(): Promise<void>;
}

const RECOVER_TIMEOUT_MS = 10_000;
/** A batch of tasks big enough that no worker waits for a commit. */
const WINDOW_MIN = 64;
const API_IDLE_SECONDS = 120;
/** How long requests may finish once the downloads have ended. */
const API_GRACE_MS = 5000;

/**
 * Joins the stages. The configuration as a whole stops here.
 * @throws StoreError, StoreLockedError, HandlerLoadError; then nothing stays open
 */
export async function createApp(config: Config, { log, clock, version }: AppDeps): Promise<App> {
  const handlers = await loadHandlers(config.handlers);
  const troubles = new Troubles();
  const stores = openStores({
    queuePath: config.queue.path,
    ledgerPath: config.ledger.path,
    dlqPath: config.dlq.path,
    now: clock.now,
    onLag: (follower, error) => {
      troubles.note(follower === stores.ledger.follower ? "ledger" : "dlq", error);
      log.error({ err: error, store: follower.path }, "a store could not be written; it follows later");
    },
    onCommit: (durationMs) => {
      troubles.clear("queue");
      metrics.commit(durationMs / 1000);
    },
  });
  const { queue } = stores;
  const storage = openObjectStore(config.storage, clock);
  const storageCheck = new StorageCheck(storage.store, config.storage.bucket);
  const active = new ActiveDownloads();
  const gate = new StorageGate(clock);
  const stopping = new AbortController();
  let phase: "starting" | "running" | "draining" = "starting";
  let server: RunningServer | undefined;
  let lagWatch: { stop(): void } | undefined;

  const onQueueTrouble = (error: unknown) => {
    troubles.note("queue", error);
    log.error({ err: error }, "queue.db could not be written; trying again");
  };
  const metrics = createMetrics({
    version,
    queueDepth: () => queue.depth(),
    ...(config.dlq.enable_metrics && { dlqSize: () => stores.deadLetters.size() }),
    workersBusy: () => pool.busy,
  });
  let ownPort = config.server.bind_addr.port;
  const policy = createEgressPolicy({
    allowPrivate: config.egress.allow_private,
    isOwn: (ip, port) => listensOn({ ...config.server.bind_addr, port: ownPort }, interfaceAddresses)(ip, port),
  });
  const governor = new HostGovernor(
    {
      maxConcurrency: config.download.host.max_concurrency,
      ratePerSecond: config.download.host.rate_per_second,
      breakerFailures: config.download.host.breaker_failures,
    },
    clock,
    () => broker.wake(),
  );
  const broker: Broker = new Broker({
    source: queue,
    hosts: governor,
    clock,
    channelSize: config.queue.channel_size,
    windowSize: Math.max(WINDOW_MIN, config.queue.workers * 2),
    onError: onQueueTrouble,
  });
  const settle = createSettle({
    settleInQueue: (settlement) => queue.settle(settlement),
    store: storage.store,
    report: createTaskReport(log, metrics, clock.now),
    onTrouble: onQueueTrouble,
    clock,
    signal: stopping.signal,
  });
  const pool = new WorkerPool({
    workers: config.queue.workers,
    createService: createDownloadService({
      config,
      version,
      store: storage.store,
      queue,
      policy,
      governor,
      gate,
      active,
      clock,
      onProxyFailure: (pool) => metrics.proxyFailed(pool),
    }),
    channel: broker.channel,
    settle,
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
    onError: (error) => log.error({ err: error }, "a task could not be settled; start-up puts it back"),
  });
  const submit = createSubmit({
    handlers,
    limits: {
      maxResources: config.api.max_resources_per_manifest,
      buckets: allowedBuckets(config),
      pools: new Set(Object.keys(config.proxies)),
      deniesLiteral: (url) => policy.deniesLiteral(url),
      refusesKey: (key) => storage.store.refuses(key),
    },
    queue,
    store: storage.store,
    bucket: config.storage.bucket,
    newJobId: () => newJobId(config.server.instance),
    pendingMax: config.queue.max_pending_tasks,
    clock,
    isDraining: () => phase === "draining",
    onAccepted: (job, tasks) => {
      metrics.jobAccepted(job.jobType);
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, tasks }, "job accepted");
    },
    signal: stopping.signal,
  });
  const upkeep = new Upkeep(clock);
  const health = createHealth({ troubles, storageCheck, gate, phase: () => phase });
  const finalize = createFinalize({ handlers, ledger: stores.ledger, log });
  queue.onFinished((job, status) => {
    log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, status }, `job ${status}`);
    finalize(job, status);
  });

  return {
    submit,
    stores,
    active,

    listen() {
      const { host, port } = config.server.bind_addr;
      const { auth } = config.server;
      const isOpen = auth.mode === "none" || auth.tokens.length === 0;
      const api = createApi({
        submit,
        queue,
        ledger: stores.ledger,
        deadLetters: stores.deadLetters,
        health,
        metrics,
        log,
        limits: { maxPayloadBytes: config.api.max_payload_bytes },
        auth,
        ...(isOpen && isLoopback(config.server.bind_addr) && { isAcceptedHost: isLoopbackCaller }),
        version,
        now: clock.now,
        newRequestId: () => Bun.randomUUIDv7(),
        fillRandom: (bytes) => crypto.getRandomValues(bytes),
      });
      server = startServer(api, { hostname: host, port, idleTimeoutSeconds: API_IDLE_SECONDS });
      ownPort = server.port;
      return `http://${formatBindAddress({ host, port: server.port })}`;
    },

    async start() {
      const signal = AbortSignal.timeout(RECOVER_TIMEOUT_MS);
      const temporaries = await storage.sweep();
      const recovered = await recover({
        queue,
        store: storage.store,
        retract: (doomed, within) => retract(doomed, storage.store, within),
        onLeftOver: (what, failure) => {
          log.warn({ bucket: what.bucket, key: what.key, err: failure }, "an upload could not be cleaned up");
        },
        signal,
      });
      if (recovered.interrupted + recovered.sweptJobs + recovered.abortedUploads + temporaries > 0) {
        log.info({ ...recovered, temporaries }, "put right what the last process left");
      }
      await storageCheck.run(stopping.signal);
      if (storageCheck.problem !== undefined) log.warn({ reason: storageCheck.problem }, "the storage is not ready");
      phase = "running";
      lagWatch = watchEventLoop(clock, (seconds) => metrics.eventLoopLag(seconds));
      upkeep.start([
        { everyMs: 5000, run: (within) => storageCheck.run(within) },
        { everyMs: 1000, run: () => followUp(stores, troubles) },
      ]);
      pool.start();
      broker.start();
    },

    async stop() {
      phase = "draining";
      upkeep.stop();
      lagWatch?.stop();
      const grace = new AbortController();
      const unclaimed = await broker.stop();
      const released = Promise.all(unclaimed.map((task) => putBack(task)));
      await pool.stop(delay(clock, config.server.shutdown_grace_ms, grace.signal).catch(() => {}));
      grace.abort();
      queue.flush();
      await released;
      await server?.stop(AbortSignal.timeout(API_GRACE_MS));
      stopping.abort(new Error("the service has stopped"));
      queue.flush();
      stores.close();
    },
  };

  function putBack(claimed: ClaimedTask): Promise<unknown> {
    return queue.settle({ claimed, verdict: { kind: "release" } }).catch(onQueueTrouble);
  }
}

/** Gives the followers what they missed, and trims the outbox to what they have durably. */
function followUp({ outbox }: Stores, troubles: Troubles): void {
  try {
    if (!outbox.isDelivered) outbox.replay();
    troubles.clear("ledger");
    troubles.clear("dlq");
    outbox.trim();
  } catch {
    // Told when it began; readiness shows it until it works again.
  }
}

function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
}
