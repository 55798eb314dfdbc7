import type { StartPhase } from "./api/http/request-handler.ts";
import type { ApiDeps, RunningServer } from "./api/http/server.ts";
import type { Reloadable } from "./config/load-config.ts";
import type { Config } from "./config/schema.ts";
import { formatBindAddress } from "./config/values/bind-address.ts";
import type { Submit } from "./intake/submission.ts";
import type { Stores } from "./jobs/stores/service-stores.ts";
import { isDiskFull, type StoreError } from "./jobs/stores/store-error.ts";
import { StorageCheck } from "./maintenance/bucket-check.ts";
import { recover } from "./maintenance/recover.ts";
import { Scheduler } from "./maintenance/scheduler.ts";
import type { Tracer } from "./net/tracer.ts";
import { delay } from "./std/clock.ts";
import { type EventLoopWatch, watchEventLoop } from "./telemetry/event-loop-lag.ts";
import type { HealthReport } from "./telemetry/health.ts";
import { openHttp } from "./wiring/api-wiring.ts";
import { createFinalize } from "./wiring/finalize.ts";
import { type Foundation, type FoundationDeps, openFoundation } from "./wiring/foundation.ts";
import { createHealth } from "./wiring/health-wiring.ts";
import { createIntake } from "./wiring/intake-wiring.ts";
import { closeHandlers, loadHandlers } from "./wiring/load-handlers.ts";
import { openTracer } from "./wiring/open-tracer.ts";
import { createReloadables } from "./wiring/reloadables.ts";
import { retentionTask } from "./wiring/retention-task.ts";
import type { S3Access } from "./wiring/storage/s3-credentials.ts";
import { createWork, type Work } from "./wiring/work.ts";
import type { ActiveDownloads } from "./worker/download/active-downloads.ts";
import { removeOrphan } from "./worker/remove-orphan.ts";

/** Time limit of the cleanup after a crash. */
const RECOVER_TIMEOUT_MS = 10_000;
const STORAGE_CHECK_EVERY_MS = 5000;
const CLOSED_BUCKETS_EVERY_MS = 1000;
/** Time between two trials of a queue that could not be written, without a request. */
const TRY_QUEUE_EVERY_MS = 1000;
/** Time between two trials of a recovery that the disk had no room for. */
const RECOVER_EVERY_MS = 1000;
/** Time between two searches for idle connections that have expired. */
const DROP_EXPIRED_EVERY_MS = 2000;
/** Time after the grace period for settlements that a full disk holds up. */
const SETTLE_GRACE_MS = 5000;
/** Time for requests to finish after the downloads have ended. */
const API_GRACE_MS = 5000;
/** The same time if a store is broken: every waiting request has been answered by then. */
const BROKEN_GRACE_MS = 1000;

/**
 * Creates the service from its configuration, which the stages below see only in part.
 * @throws StoreError, StoreLockedError, HandlerLoadError; then no store stays open
 */
export async function createApp(config: Config, deps: Omit<FoundationDeps, "tracer">): Promise<App> {
  const handlers = await loadHandlers(config.handlers, {
    onMessage: (handler, { level, text }) => deps.log[level]({ handler }, text),
    clock: deps.clock,
  });
  let foundation: Foundation;
  try {
    foundation = openFoundation(config, { ...deps, tracer: await openTracer(config.tracing, deps) });
  } catch (error) {
    closeHandlers(handlers);
    throw error;
  }
  foundation.stopping.signal.addEventListener("abort", () => closeHandlers(handlers));
  const { log, stores } = foundation;
  const finalize = createFinalize({ handlers, ledger: stores.ledger, log });
  stores.queue.onFinished((job, status) => {
    // The log lines of the job's settlements come first.
    deps.clock.after(0, () => {
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, status }, `job ${status}`);
      work.rates.jobs.forget(job.seq);
      finalize(job, status);
    });
  });
  const work = createWork(config, foundation);
  const app: App = new App(
    config,
    foundation,
    work,
    createIntake(config, foundation, {
      buckets: work.buckets,
      handlers,
      isDraining: () => app.isDraining,
      onTasks: (tasks) => work.rates.history.add("accepted", tasks),
    }),
  );
  return app;
}

/** The whole service; it works from `start` to `stop`. */
export class App {
  readonly submit: Submit;
  readonly stores: Stores;
  readonly active: ActiveDownloads;
  readonly tracer: Tracer;
  readonly #config: Config;
  readonly #foundation: Foundation;
  readonly #work: Work;
  readonly #storageCheck: StorageCheck;
  readonly #health: () => HealthReport;
  readonly #scheduler: Scheduler;
  /** False while recovery waits for room on the disk. */
  #hasRoom = true;
  #phase: "starting" | "running" | "draining" = "starting";
  #isBroken = false;
  #server: RunningServer | undefined;
  #lagWatch: EventLoopWatch | undefined;

  constructor(config: Config, foundation: Foundation, work: Work, submit: Submit) {
    this.submit = submit;
    this.stores = foundation.stores;
    this.active = foundation.active;
    this.tracer = foundation.tracer;
    this.#config = config;
    this.#foundation = foundation;
    this.#work = work;
    this.#storageCheck = new StorageCheck(foundation.store, work.buckets);
    this.#scheduler = new Scheduler(foundation.clock);
    this.#health = createHealth({
      componentErrors: foundation.componentErrors,
      stores: this.stores,
      storageCheck: this.#storageCheck,
      buckets: work.buckets,
      workerProblems: work.problems,
      phase: () => this.#phase,
      isPaused: () => this.stores.queue.control.isPaused(),
      stuckMs: () => this.#lagWatch?.stuckMs(),
    });
    foundation.metrics.serveHealth(this.#health);
    foundation.metrics.serveWork({ workers: work.pool.total, hosts: () => work.hosts.governor.counts() });
    void foundation.broken.then(() => {
      this.#isBroken = true;
    });
  }

  /** The parts that accept a new configuration while the service runs; `credentials` are those of its creation. */
  reloadables(credentials: Pick<S3Access, "reload"> | undefined): Reloadable[] {
    return createReloadables(this.#foundation, this.#work, credentials);
  }

  /** Resolves when the content of a store has become unknown. The process must end then, without `stop`. */
  get broken(): Promise<StoreError> {
    return this.#foundation.broken;
  }

  get isDraining(): boolean {
    return this.#phase === "draining";
  }

  /**
   * Recovers from a crash, then starts to work. It also returns if the disk has no room for that: the stores can be
   * read, and the work starts when there is room.
   */
  async start(): Promise<void> {
    const { log, clock, metrics, stopping, descriptors } = this.#foundation;
    const isRecovered = await this.#tryRecover();
    await this.#storageCheck.run(stopping.signal);
    this.#lagWatch = watchEventLoop(clock, (seconds) => metrics.eventLoopLag(seconds));
    const { problem, doubt } = this.#storageCheck;
    if (problem !== undefined) log.warn({ reason: problem }, "the storage is not ready");
    if (doubt !== undefined) log.warn({ reason: doubt }, "the storage may not be ready");
    this.#scheduler.start([
      {
        everyMs: STORAGE_CHECK_EVERY_MS,
        // Without a descriptor the check would report the storage as down.
        run: (signal) => (descriptors.isShort() ? undefined : this.#storageCheck.run(signal)),
      },
    ]);
    if (isRecovered) return this.#startWork();
    this.#scheduler.start([{ everyMs: RECOVER_EVERY_MS, run: () => this.#startWorkLate() }]);
  }

  /** False if the disk is full: the queue refuses every change until a later call succeeds. */
  async #tryRecover(): Promise<boolean> {
    const { log, stores, componentErrors, sweepStorage } = this.#foundation;
    try {
      const temporaries = await sweepStorage();
      // The recovery must be the first change that the queue accepts, so it follows at once.
      await stores.catchUp();
      await this.#recover(temporaries);
      return true;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#hasRoom = false;
      stores.hold(error);
      if (componentErrors.note("queue", error)) {
        log.error({ err: error }, "the disk is full: no job is accepted and no download starts until it has room");
      }
      return false;
    }
  }

  #startPhase(): StartPhase | undefined {
    if (this.#phase !== "starting") return undefined;
    return this.#hasRoom ? "recovering" : "without room";
  }

  async #startWorkLate(): Promise<void> {
    if (this.#phase !== "starting") return;
    try {
      if (!(await this.#tryRecover()) || this.isDraining) return;
      this.#foundation.log.info("the disk has room again: downloads start");
      await this.#startWork();
    } catch (error) {
      this.#foundation.onQueueError(error);
    }
  }

  async #startWork(): Promise<void> {
    const { log, stores, descriptors } = this.#foundation;
    await this.#work.hosts.restore();
    const retention = await retentionTask(this.#config, this.#foundation);
    if (this.isDraining) return;
    this.#scheduler.start([
      {
        everyMs: CLOSED_BUCKETS_EVERY_MS,
        run: (signal) => (descriptors.isShort() ? undefined : this.#storageCheck.tryClosed(signal)),
      },
      retention,
      ...this.#work.periodicTasks,
      { everyMs: TRY_QUEUE_EVERY_MS, run: () => this.#tryQueue() },
      { everyMs: DROP_EXPIRED_EVERY_MS, run: () => this.#foundation.network.http.dropExpired() },
      ...stores.periodicTasks,
    ]);
    this.#phase = "running";
    await this.#work.cancellation.resume();
    await this.#work.bulkOperations.resume();
    if (this.isDraining) return;
    this.#work.pool.start();
    if (stores.queue.control.isPaused()) {
      log.warn("the queue is paused: no download starts until POST /operators/queue/resume");
      await this.#work.broker.pause();
    }
    this.#work.broker.start();
  }

  /** Tries a commit, whose success clears the error of the queue. */
  async #tryQueue(): Promise<void> {
    const { stores, componentErrors, onQueueError } = this.#foundation;
    if (componentErrors.has("queue")) await stores.tryWrite().catch(onQueueError);
  }

  /**
   * Opens the API, which shows the values of `configuration`, and returns its URL.
   * @throws if the address is in use or not of this machine
   */
  listen(configuration: ApiDeps["configuration"]): string {
    this.#server = openHttp(this.#config, this.#foundation, this.#work, {
      submit: this.submit,
      health: this.#health,
      configuration,
      starting: () => this.#startPhase(),
      schedule: (task) => this.#scheduler.start([task]),
    });
    this.#foundation.own.port = this.#server.port;
    return `http://${formatBindAddress({ ...this.#config.server.bind_addr, port: this.#server.port })}`;
  }

  /** For an end of the process without `stop`: it must not count as a crash of the running tasks. */
  abandon(): void {
    try {
      this.stores.abandon();
    } catch {
      // The stores are closed already, so no task was running.
    }
  }

  /** For the end after `broken`: waiting requests get an answer, and the server accepts no more of them. */
  async answerAll(): Promise<void> {
    await this.#server?.stop(AbortSignal.timeout(BROKEN_GRACE_MS));
  }

  /** Accepts no more jobs, lets running downloads finish in the grace period, requeues the others, and closes. */
  async stop(): Promise<void> {
    const { clock, stores, stopping, onQueueError } = this.#foundation;
    const graceMs = this.#config.server.shutdown_grace_ms;
    this.#phase = "draining";
    this.#scheduler.stop();
    this.#lagWatch?.stop();
    const graceTimer = clock.after(graceMs + SETTLE_GRACE_MS, () =>
      stopping.abort(new Error("the grace period is over")),
    );
    const drained = new AbortController();
    const unclaimed = await this.#work.broker.stop();
    const released = unclaimed.map((claimed) => stores.queue.settlements.release(claimed).catch(onQueueError));
    await this.#work.pool.stop(delay(clock, graceMs, drained.signal).catch(() => {}));
    drained.abort();
    await Promise.all([...released, this.#work.hosts.note()]);
    await this.#server?.stop(AbortSignal.timeout(API_GRACE_MS));
    graceTimer.cancel();
    stopping.abort(new Error("the service has stopped"));
    await Promise.all([this.#foundation.closeStorage(), this.tracer.stop()]);
    this.#foundation.network.http.close();
    this.#foundation.descriptors.close();
    if (this.#isBroken) return; // to close the stores would write to them
    await stores.finish();
    await stores.close();
  }

  async #recover(temporaries: number): Promise<void> {
    const { log, stores, store, keys } = this.#foundation;
    const recovered = await recover({
      queue: stores.queue,
      cleaner: this.#work.orphanCleaner,
      storesLate: store.storesLate,
      removeOrphan: (poison, signal) => removeOrphan(poison, { store, keys }, signal),
      onLeftOver: ({ bucket, key }, failure) => {
        log.warn(
          { bucket, key, err: failure },
          "an object that a failed task may have stored could not be removed now",
        );
      },
      signal: AbortSignal.timeout(RECOVER_TIMEOUT_MS),
    });
    const { interrupted, suspects, sweptJobs, abortedUploads } = recovered;
    if (interrupted + sweptJobs + abortedUploads + temporaries === 0) return;
    log.info(
      { interrupted_tasks: interrupted, swept_jobs: sweptJobs, aborted_uploads: abortedUploads, temporaries },
      "recovered from an unclean shutdown",
    );
    if (suspects === 0) return;
    log.warn({ tasks: suspects }, "the process ended three times or more while these tasks ran: each runs alone now");
  }
}
