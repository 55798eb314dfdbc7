import { type Channel, ChannelClosedError } from "../dispatch/channel.ts";
import { isSuspect } from "../jobs/crash-limit.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { type ExecuteDeps, execute } from "./execute.ts";
import { InterruptedError } from "./interrupted.ts";
import { RunningAttempt } from "./running-attempt.ts";
import type { Service } from "./service.ts";

export interface PoolDeps extends Omit<ExecuteDeps, "service"> {
  readonly workers: number;
  /** Each worker has a service of its own: its rate limit is its own. */
  readonly createService: () => Service;
  readonly channel: Channel<ClaimedTask>;
  /** Told when a worker begins with a task. Resolves once that is on the disk; false if it could not be written. */
  readonly onStart: (claimed: ClaimedTask) => Promise<boolean>;
  /** Told when a worker is done with a task; with a suspect, once it is settled. */
  readonly onEnd: (claimed: ClaimedTask) => void;
  /** Whether a task's job was cancelled since it was claimed. */
  readonly isCancelled: (claimed: ClaimedTask) => boolean;
  readonly onError: (error: unknown) => void;
}

interface Running {
  readonly job: number;
  readonly attempt: RunningAttempt;
}

/**
 * So many settlements of all workers may be under way while they go on, and one more of each: what a crash makes them
 * fetch again.
 */
const UNSETTLED_MAX = 128;

/** The workers: coroutines that take tasks from the channel, one at a time each. */
export class WorkerPool {
  readonly #deps: PoolDeps;
  readonly #idle = new AbortController();
  readonly #running = new Map<number, Running>();
  readonly #unsettled = new Set<Promise<void>>();
  /** For who waits until not too many of them are under way. */
  #room: PromiseWithResolvers<void> | undefined;
  #workers: Promise<void>[] = [];

  constructor(deps: PoolDeps) {
    this.#deps = deps;
  }

  get total(): number {
    return this.#deps.workers;
  }

  get busy(): number {
    return this.#running.size;
  }

  start(): void {
    this.#workers = Array.from({ length: this.#deps.workers }, () => this.#work());
  }

  /**
   * Takes no more tasks, lets the running ones finish until `deadline` resolves, then puts the rest back. Resolves
   * when every claim is settled.
   */
  async stop(deadline: Promise<void>): Promise<void> {
    this.#idle.abort(new ChannelClosedError("the pool is stopping"));
    const done = Promise.all(this.#workers);
    await Promise.race([done, deadline]);
    for (const { attempt } of this.#running.values()) attempt.abort(new InterruptedError("shutdown"));
    await done;
  }

  /** Stops the running tasks of a job, by its number in the queue. */
  cancel(job: number): void {
    for (const running of this.#running.values()) {
      if (running.job === job) running.attempt.abort(new InterruptedError("cancel"));
    }
  }

  async #work(): Promise<void> {
    const service = this.#deps.createService();
    const deps = { ...this.#deps, service };
    for (;;) {
      const claimed = await this.#next(service);
      if (claimed === undefined) break;
      const attempt = new RunningAttempt();
      this.#running.set(claimed.id, { job: claimed.job.seq, attempt });
      if (this.#deps.isCancelled(claimed)) attempt.abort(new InterruptedError("cancel"));
      const noted = this.#deps.onStart(claimed);
      try {
        // The others need not wait for that: they share the blame for a crash.
        if (isSuspect(claimed) && !(await noted)) attempt.abort(new InterruptedError("shutdown"));
        const execution = await execute(claimed, attempt, deps);
        const settled = this.#follow(execution.settled);
        if (isSuspect(claimed)) await settled;
        while (this.#unsettled.size > UNSETTLED_MAX) await (this.#room ??= Promise.withResolvers()).promise;
      } finally {
        this.#running.delete(claimed.id);
        this.#deps.onEnd(claimed);
      }
    }
    await Promise.all(this.#unsettled);
  }

  #follow(settling: Promise<void>): Promise<void> {
    const end = () => {
      this.#unsettled.delete(settled);
      if (this.#unsettled.size > UNSETTLED_MAX) return;
      this.#room?.resolve();
      this.#room = undefined;
    };
    const settled = settling.then(end, (error: unknown) => {
      this.#deps.onError(error);
      end();
    });
    this.#unsettled.add(settled);
    return settled;
  }

  /** The next task, or nothing once the pool stops. */
  async #next(service: Service): Promise<ClaimedTask | undefined> {
    try {
      await service.ready(this.#idle.signal);
      return await this.#deps.channel.receive(this.#idle.signal);
    } catch (error) {
      if (error instanceof ChannelClosedError) return undefined;
      throw error;
    }
  }
}
