import { type Channel, ChannelClosedError } from "../dispatch/channel.ts";
import { isSuspect } from "../jobs/crash-limit.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import { Attempt } from "./attempt.ts";
import { type ExecuteDeps, execute } from "./execute.ts";
import { InterruptedError } from "./interrupted.ts";
import type { Service } from "./service.ts";

export interface PoolDeps extends Omit<ExecuteDeps, "service"> {
  readonly workers: number;
  /** Each worker has a service of its own: its rate limit is its own. */
  readonly createService: () => Service;
  readonly channel: Channel<ClaimedTask>;
  /** Called when a worker starts a task. Resolves once the disk holds that, with false if the write failed. */
  readonly onStart: (claimed: ClaimedTask) => Promise<boolean>;
  /** Called when a worker has finished a task; for a suspect, once it is settled. */
  readonly onEnd: (claimed: ClaimedTask) => void;
  /** Whether a client has cancelled the task's job since the claim. */
  readonly isCancelled: (claimed: ClaimedTask) => boolean;
  readonly onError: (error: unknown) => void;
}

/**
 * Most settlements under way while workers continue; each worker may add one more. After a crash their tasks are
 * downloaded again.
 */
const UNSETTLED_MAX = 128;

/** The workers: coroutines that take tasks from the channel, one at a time each. */
export class WorkerPool {
  readonly #deps: PoolDeps;
  readonly #idle = new AbortController();
  readonly #running = new Map<number, Attempt>();
  readonly #unsettled = new Set<Promise<void>>();
  /** Resolves when fewer settlements are under way; `undefined` while no worker waits for that. */
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
    this.#workers = Array.from({ length: this.#deps.workers }, (_, at) => this.#work(at + 1));
  }

  /**
   * Resolves when every claim is settled. The pool takes no more tasks, lets the running ones finish until `deadline`
   * resolves, and puts the rest back.
   */
  async stop(deadline: Promise<void>): Promise<void> {
    this.#idle.abort(new ChannelClosedError("the pool is stopping"));
    const done = Promise.all(this.#workers);
    await Promise.race([done, deadline]);
    for (const attempt of this.#running.values()) attempt.abort(new InterruptedError("shutdown"));
    await done;
  }

  /** Stops the running tasks of a job, by its number in the queue. */
  cancel(job: number): void {
    for (const attempt of this.#running.values()) {
      if (attempt.claimed.job.seq === job) attempt.abort(new InterruptedError("cancel"));
    }
  }

  async #work(workerId: number): Promise<void> {
    const service = this.#deps.createService();
    const deps = { ...this.#deps, service };
    for (;;) {
      const claimed = await this.#next(service);
      if (claimed === undefined) break;
      const attempt = new Attempt(claimed, workerId);
      this.#running.set(claimed.id, attempt);
      if (this.#deps.isCancelled(claimed)) attempt.abort(new InterruptedError("cancel"));
      const noted = this.#deps.onStart(claimed);
      try {
        // Only a suspect waits for the disk: after a crash it alone is charged.
        if (isSuspect(claimed) && !(await noted)) attempt.abort(new InterruptedError("shutdown"));
        const execution = await execute(attempt, deps);
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

  /** The next task; `undefined` once the pool stops. */
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
