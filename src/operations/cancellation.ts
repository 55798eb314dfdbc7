import type { Cancellations, WaitingTask } from "../jobs/stores/cancellations.ts";
import { type Clock, delay } from "../std/clock.ts";

export interface CancellationDeps {
  readonly cancellations: Cancellations;
  /** Stops the tasks of a job that workers have; each is then settled as cancelled. */
  readonly stopRunning: (job: number) => void;
  /** Removes what an earlier attempt may have stored for a task. Never throws. */
  readonly retract: (task: WaitingTask) => Promise<void>;
  /** The queue cannot be written to (a full disk); it is tried again. */
  readonly onTrouble: (error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Tasks of one commit, of all jobs together: some ten milliseconds, where each is for another host. */
const BATCH = 250;
const RETRY_MS = 1000;

/**
 * Cancels jobs. The request is one commit; the tasks follow, those that wait in batches and those that run as their
 * workers let go of them. What is left when the process ends goes on at the next start.
 */
export class Cancellation {
  readonly #deps: CancellationDeps;
  /** Jobs whose waiting tasks are being cancelled, and whether to look through them once more. */
  readonly #sweeps = new Map<number, { again: boolean }>();

  /** Resolves when the batch that was asked for last is done. */
  #batches: Promise<void> = Promise.resolve();

  constructor(deps: CancellationDeps) {
    this.#deps = deps;
    deps.cancellations.onStray((job) => this.#sweep(job));
  }

  /** Goes on with what the last process did not get done. */
  resume(): void {
    for (const job of this.#deps.cancellations.cancelling()) this.#sweep(job);
  }

  /** Resolves once the request is durable and the running downloads are told. False if no such job is at work. */
  async cancel(jobId: string): Promise<boolean> {
    const job = await this.#deps.cancellations.request(jobId);
    if (job === undefined) return false;
    this.#deps.stopRunning(job);
    this.#sweep(job);
    return true;
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
    const { cancellations, clock, signal, onTrouble } = this.#deps;
    while (sweep.again && !signal.aborted) {
      sweep.again = false;
      try {
        await this.#cancelWaiting(job);
      } catch (error) {
        if (signal.aborted) return; // the stores may be closed by now; the next start goes on
        onTrouble(error);
        sweep.again = cancellations.isCancelling(job);
        await delay(clock, RETRY_MS, signal).catch(() => {}); // stopping
      }
    }
  }

  /** The batches of many jobs that are cancelled at once would otherwise share one commit. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#batches.then(work);
    this.#batches = done.catch(() => {});
    return done;
  }

  async #cancelWaiting(job: number): Promise<void> {
    const { cancellations, retract, signal } = this.#deps;
    for (let afterId = 0; !signal.aborted; ) {
      const tasks = await cancellations.waiting(job, afterId, BATCH);
      if (tasks.length === 0) return;
      for (const task of tasks) if (task.mayHaveStored) await retract(task);
      const ids = tasks.map(({ id }) => id);
      await this.#inTurn(() => cancellations.cancelWaiting(job, ids));
      afterId = tasks.at(-1)?.id ?? afterId;
    }
  }
}
