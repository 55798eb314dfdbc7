import type { StartPhase } from "./api/http/request-handler.ts";
import type { RunningServer } from "./api/http/server.ts";
import type { Reloadable } from "./config/load-config.ts";
import type { Config } from "./config/schema.ts";
import { formatBindAddress } from "./config/values/bind-address.ts";
import type { Submit } from "./intake/submission.ts";
import { isDiskFull, type StoreError } from "./jobs/stores/store-error.ts";
import { StorageCheck } from "./maintenance/bucket-check.ts";
import { deliverOutbox } from "./maintenance/outbox-delivery.ts";
import { recover } from "./maintenance/recover.ts";
import { Scheduler } from "./maintenance/scheduler.ts";
import type { Tracer } from "./net/tracer.ts";
import type { Stores } from "./sqlite/stores.ts";
import { delay } from "./std/clock.ts";
import { type EventLoopWatch, watchEventLoop } from "./telemetry/event-loop-lag.ts";
import type { HealthReport } from "./telemetry/health.ts";
import { openHttp } from "./wiring/api-wiring.ts";
import { createFinalize } from "./wiring/finalize.ts";
import { type Foundation, type FoundationDeps, layFoundation } from "./wiring/foundation.ts";
import { createHealth } from "./wiring/health-wiring.ts";
import { createIntake } from "./wiring/intake-wiring.ts";
import { closeHandlers, loadHandlers } from "./wiring/load-handlers.ts";
import { openTracer } from "./wiring/open-tracer.ts";
import { createReloadables } from "./wiring/reloadables.ts";
import { retentionChore } from "./wiring/retention-task.ts";
import type { S3Access } from "./wiring/storage/s3-credentials.ts";
import { createWork, type Work } from "./wiring/work.ts";
import type { ActiveDownloads } from "./worker/download/active-downloads.ts";
import { removeOrphan } from "./worker/remove-orphan.ts";

/** How long start-up tries to clean up after a crash. */
const RECOVER_TIMEOUT_MS = 10_000;
const STORAGE_CHECK_EVERY_MS = 5000;
const CLOSED_BUCKETS_EVERY_MS = 1000;
const FOLLOW_UP_EVERY_MS = 1000;
/** How often a queue that could not be written is tried, though nobody asks for anything. */
const TRY_QUEUE_EVERY_MS = 1000;
/** How often a start that the disk had no room for is tried again. */
const RECOVER_EVERY_MS = 1000;
/** Kept connections are closed soon after their time. */
const DROP_EXPIRED_EVERY_MS = 2000;
/** How long, after the grace period, settlements may take that a full disk holds up. */
const SETTLE_GRACE_MS = 5000;
/** How long requests may finish once the downloads have ended. */
const API_GRACE_MS = 5000;
/** The same, where a store is broken: everyone who waits has been answered by then. */
const BROKEN_GRACE_MS = 1000;

/**
 * Joins the stages: the configuration as a whole stops here.
 * @throws StoreError, StoreLockedError, HandlerLoadError; then nothing stays open
 */
export async function createApp(config: Config, deps: Omit<FoundationDeps, "tracer">): Promise<App> {
  const handlers = await loadHandlers(config.handlers, {
    onMessage: (handler, { level, text }) => deps.log[level]({ handler }, text),
    clock: deps.clock,
  });
  let foundation: Foundation;
  try {
    foundation = layFoundation(config, { ...deps, tracer: await openTracer(config.tracing, deps) });
  } catch (error) {
    closeHandlers(handlers);
    throw error;
  }
  foundation.stopping.signal.addEventListener("abort", () => closeHandlers(handlers));
  const { log, stores } = foundation;
  const finalize = createFinalize({ handlers, ledger: stores.ledger, log });
  stores.queue.onFinished((job, status) => {
    // After what those who settled its tasks have to say.
    deps.clock.after(0, () => {
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, status }, `job ${status}`);
      finalize(job, status);
    });
  });
  const work = createWork(config, foundation);
  const app: App = new App(
    config,
    foundation,
    work,
    createIntake(config, foundation, { buckets: work.buckets, handlers, isDraining: () => app.isDraining }),
  );
  return app;
}

/** The whole service, put together; it works from `start` to `stop`. */
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
  /** False from the time that recovery found the disk full until it has ended. */
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
      troubles: foundation.componentErrors,
      presence: this.stores.fileWatch,
      storageCheck: this.#storageCheck,
      buckets: work.buckets,
      workerProblems: work.problems,
      phase: () => this.#phase,
      isPaused: () => this.stores.queue.control.isPaused(),
      stuckMs: () => this.#lagWatch?.stuckMs(),
    });
    foundation.metrics.serveHealth(this.#health);
    void foundation.broken.then(() => {
      this.#isBroken = true;
    });
  }

  /** What takes a new configuration while the service runs; `credentials` are those that it was made with. */
  reloadables(credentials: Pick<S3Access, "reload"> | undefined): Reloadable[] {
    return createReloadables(this.#foundation, this.#work, credentials);
  }

  /** Resolves when nobody knows any more what is in a store: then the process is to end, without `stop`. */
  get broken(): Promise<StoreError> {
    return this.#foundation.broken;
  }

  get isDraining(): boolean {
    return this.#phase === "draining";
  }

  /**
   * Puts right what a crash left, then begins to work. Where the disk has no room for that, it returns all the same:
   * what is there can be read, and the work begins when there is room.
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
        // Without a descriptor it would blame the storage.
        run: (signal) => (descriptors.isShort() ? undefined : this.#storageCheck.run(signal)),
      },
    ]);
    if (isRecovered) return this.#begin();
    this.#scheduler.start([{ everyMs: RECOVER_EVERY_MS, run: () => this.#beginLate() }]);
  }

  /** False if the disk is full: then the queue refuses every change until this is done again and succeeds. */
  async #tryRecover(): Promise<boolean> {
    const { log, stores, componentErrors: troubles, sweepStorage } = this.#foundation;
    try {
      const temporaries = await sweepStorage();
      // Nothing comes between: the first change that the queue takes is the recovery's.
      stores.catchUp();
      await this.#recover(temporaries);
      return true;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#hasRoom = false;
      stores.queue.gate.hold(error);
      if (troubles.note("queue", error)) {
        log.error({ err: error }, "the disk is full: no job is taken and no download begins until it has room");
      }
      return false;
    }
  }

  #startPhase(): StartPhase | undefined {
    if (this.#phase !== "starting") return undefined;
    return this.#hasRoom ? "recovering" : "without room";
  }

  async #beginLate(): Promise<void> {
    if (this.#phase !== "starting") return;
    try {
      if (!(await this.#tryRecover()) || this.isDraining) return;
      this.#foundation.log.info("the disk has room again: the work begins");
      await this.#begin();
    } catch (error) {
      this.#foundation.onQueueTrouble(error);
    }
  }

  async #begin(): Promise<void> {
    const { log, stores, componentErrors: troubles, descriptors } = this.#foundation;
    await this.#work.hosts.restore();
    this.#scheduler.start([
      {
        everyMs: CLOSED_BUCKETS_EVERY_MS,
        run: (signal) => (descriptors.isShort() ? undefined : this.#storageCheck.tryClosed(signal)),
      },
      retentionChore(this.#config, this.#foundation),
      ...this.#work.chores,
      { everyMs: TRY_QUEUE_EVERY_MS, run: () => this.#tryQueue() },
      { everyMs: DROP_EXPIRED_EVERY_MS, run: () => this.#foundation.network.http.dropExpired() },
      { everyMs: FOLLOW_UP_EVERY_MS, run: () => void (deliverOutbox(stores.outbox) && troubles.clearFollowers()) },
    ]);
    this.#phase = "running";
    this.#work.cancellation.resume();
    await this.#work.bulkOperations.resume();
    this.#work.pool.start();
    if (stores.queue.control.isPaused()) {
      log.warn("the queue is paused: no download begins until POST /operators/queue/resume");
      await this.#work.broker.pause();
    }
    this.#work.broker.start();
  }

  /** What a commit finds out clears its trouble. */
  async #tryQueue(): Promise<void> {
    const { stores, componentErrors: troubles, onQueueTrouble } = this.#foundation;
    if (troubles.has("queue")) await stores.queue.tryRoom().catch(onQueueTrouble);
  }

  /** Opens the API, and returns the URL that it answers on. @throws if the address is taken or not ours */
  listen(): string {
    this.#server = openHttp(this.#config, this.#foundation, this.#work, {
      submit: this.submit,
      health: this.#health,
      starting: () => this.#startPhase(),
    });
    this.#foundation.own.port = this.#server.port;
    return `http://${formatBindAddress({ ...this.#config.server.bind_addr, port: this.#server.port })}`;
  }

  /** For who ends the process without `stop`: what was running did not crash it. */
  abandon(): void {
    try {
      this.stores.queue.abandon();
    } catch {
      // The stores are closed already: nothing was running.
    }
  }

  /** For the end after `broken`: who waits for an answer gets one, and the server takes nothing more. */
  async answerAll(): Promise<void> {
    await this.#server?.stop(AbortSignal.timeout(BROKEN_GRACE_MS));
  }

  /** Takes no more jobs, lets running downloads finish for the grace period, puts the rest back, and closes. */
  async stop(): Promise<void> {
    const { clock, stores, stopping, onQueueTrouble } = this.#foundation;
    const graceMs = this.#config.server.shutdown_grace_ms;
    const hasWorked = this.#phase === "running";
    this.#phase = "draining";
    this.#scheduler.stop();
    this.#lagWatch?.stop();
    const giveUp = clock.after(graceMs + SETTLE_GRACE_MS, () => stopping.abort(new Error("the grace period is over")));
    const drained = new AbortController();
    const unclaimed = await this.#work.broker.stop();
    const released = unclaimed.map((claimed) => stores.queue.settlements.release(claimed).catch(onQueueTrouble));
    await this.#work.pool.stop(delay(clock, graceMs, drained.signal).catch(() => {}));
    drained.abort();
    await Promise.all([...released, this.#work.hosts.note()]);
    await this.#server?.stop(AbortSignal.timeout(API_GRACE_MS));
    giveUp.cancel();
    stopping.abort(new Error("the service has stopped"));
    await Promise.all([this.#foundation.closeStorage(), this.tracer.stop()]);
    this.#foundation.network.http.close();
    this.#foundation.descriptors.close();
    if (this.#isBroken) return; // to close the stores would write to them
    stores.queue.flush();
    if (hasWorked) deliverOutbox(stores.outbox);
    stores.close();
  }

  async #recover(temporaries: number): Promise<void> {
    const { log, stores, store, keys } = this.#foundation;
    const recovered = await recover({
      queue: stores.queue,
      cleaner: this.#work.orphanCleaner,
      storesLate: store.storesLate,
      retract: (doomed, signal) => removeOrphan(doomed, { store, keys }, signal),
      onLeftOver: ({ bucket, key }, failure) => {
        log.warn({ bucket, key, err: failure }, "what a failed task may have stored could not be removed now");
      },
      signal: AbortSignal.timeout(RECOVER_TIMEOUT_MS),
    });
    const { interrupted, suspects, sweptJobs, abortedUploads } = recovered;
    if (interrupted + sweptJobs + abortedUploads + temporaries === 0) return;
    log.info(
      { interrupted_tasks: interrupted, swept_jobs: sweptJobs, aborted_uploads: abortedUploads, temporaries },
      "put right what the last process left",
    );
    if (suspects === 0) return;
    log.warn({ tasks: suspects }, "the process ended three times or more while these tasks ran: each runs alone now");
  }
}
