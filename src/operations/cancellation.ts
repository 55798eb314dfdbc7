import type { Cancellations, WaitingTask } from "../jobs/stores/cancellations.ts";
import { type Clock, delay } from "../std/clock.ts";

interface CancellationDeps {
  readonly cancellations: Cancellations;
  /** Stops the running tasks of a job; each is then settled as cancelled. */
  readonly stopRunning: (job: number) => void;
  /** Removes an object that an earlier attempt may have stored for a task. It never throws. */
  readonly removeOrphan: (task: WaitingTask) => Promise<void>;
  /** Called when the queue cannot be written (a full disk); the cancellation tries again. */
  readonly onQueueError: (error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The effect of a request to cancel a job. `repeated`: the job was being cancelled already; `ended`: no such job is at
 * work.
 */
export type CancelOutcome = "new" | "repeated" | "ended";

/** Tasks of one commit, over all jobs: about ten milliseconds if each has its own host. */
const BATCH = 250;
const RETRY_MS = 1000;

/**
 * Cancels jobs. The request is one commit. Then waiting tasks are cancelled in batches, and running ones when their
 * workers release them. The next start continues an unfinished cancellation.
 */
export class Cancellation {
  readonly #deps: CancellationDeps;
  /** Jobs whose waiting tasks are being cancelled. `again`: their tasks must be read once more. */
  readonly #sweeps = new Map<number, { again: boolean }>();

  /** Resolves when the latest batch is done. */
  #batches: Promise<void> = Promise.resolve();

  constructor(deps: CancellationDeps) {
    this.#deps = deps;
    deps.cancellations.onWaitingAgain((job) => this.#sweep(job));
  }

  /** Continues cancellations that the last process did not finish. */
  async resume(): Promise<void> {
    for (const job of await this.#deps.cancellations.cancelling()) this.#sweep(job);
  }

  /** Resolves when the request is durable and running downloads are stopped. */
  async cancel(jobId: string): Promise<CancelOutcome> {
    const requested = await this.#deps.cancellations.request(jobId);
    if (requested === undefined) return "ended";
    this.#deps.stopRunning(requested.job);
    this.#sweep(requested.job);
    return requested.isNew ? "new" : "repeated";
  }

  #sweep(job: number): void {
    const known = this.#sweeps.get(job);
    if (known !== undefined) {
      known.again = true;
      return;
    }
    const sweep = { again: true };
    this.#sweeps.set(job, sweep);
    void this.#run(job, sweep).finally(() => this.#sweeps.delete(job));
  }

  async #run(job: number, sweep: { again: boolean }): Promise<void> {
    const { cancellations, clock, signal, onQueueError } = this.#deps;
    while (sweep.again && !signal.aborted) {
      sweep.again = false;
      try {
        await this.#cancelWaiting(job);
      } catch (error) {
        if (signal.aborted) return; // the stores may be closed by now; the next start continues
        onQueueError(error);
        sweep.again = cancellations.isCancelling(job);
        await delay(clock, RETRY_MS, signal).catch(() => {}); // stopping
      }
    }
  }

  /** Runs batches one after another; otherwise those of many jobs would share one large commit. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#batches.then(work);
    this.#batches = done.catch(() => {});
    return done;
  }

  async #cancelWaiting(job: number): Promise<void> {
    const { cancellations, removeOrphan, signal } = this.#deps;
    for (let afterId = 0; !signal.aborted; ) {
      const tasks = await cancellations.waiting(job, afterId, BATCH);
      if (tasks.length === 0) return;
      for (const task of tasks) if (task.mayHaveStored) await removeOrphan(task);
      const ids = tasks.map(({ id }) => id);
      await this.#inTurn(() => cancellations.cancelWaiting(job, ids));
      afterId = tasks.at(-1)?.id ?? afterId;
    }
  }
}
