import { setImmediate } from "node:timers/promises";
import type { BulkOperation, DeadLetterChanges } from "../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter, DeadLetterReads, FullDeadLetter } from "../jobs/stores/dead-letter-reads.ts";
import { type Clock, delay } from "../std/clock.ts";
import { changeDeadLetters, type DeadLetterChange, gapMs, HeadersError, withOverrides } from "./dead-letter-change.ts";

interface BulkOperationRunnerDeps {
  readonly deadLetterChanges: DeadLetterChanges;
  readonly deadLetters: Pick<DeadLetterReads, "find" | "full" | "count">;
  readonly clock: Clock;
  /** Called when the queue cannot be written (a full disk); the operation tries again. */
  readonly onQueueError: (error: unknown) => void;
  /** Ends all running operations; the next process continues them. */
  readonly signal: AbortSignal;
}

/** Dead letters of one commit. Other work has a turn between two commits. */
const BATCH = 200;
const RETRY_MS = 1000;
/** A replay at a rate requeues tasks so long before they are due: a stop leaves the others as they are. */
const AHEAD_MS = 60_000;
/** Such a replay looks this often whether a pause has moved its due times. */
const LOOK_MS = 10_000;

interface Running {
  readonly done: Promise<void>;
  readonly stop: AbortController;
}

/**
 * Replays or discards dead letters: some by their ids, at once; all that match a filter in the background. Each commit
 * records the step of its operation. So an operation continues after a crash, and each dead letter is changed once.
 */
export class BulkOperationRunner {
  readonly #deps: BulkOperationRunnerDeps;
  readonly #running = new Map<number, Running>();

  constructor(deps: BulkOperationRunnerDeps) {
    this.#deps = deps;
  }

  /** Continues operations that the last process did not finish. */
  async resume(): Promise<void> {
    for (const operation of await this.#deps.deadLetterChanges.operations())
      if (operation.state === "running") this.#start(operation);
  }

  /** Checks a change and does not apply it. @throws HeadersError */
  async tryOut(targets: readonly number[] | DeadLetterFilter, { overrides }: DeadLetterChange): Promise<void> {
    const { deadLetters } = this.#deps;
    if (overrides.headers === undefined) return; // no other override depends on the task
    if (isIds(targets)) return void withOverrides(await findAll(deadLetters, targets), overrides);
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const page = await deadLetters.full(targets, before, BATCH);
      withOverrides(page, overrides);
      const last = page.at(-1);
      if (last === undefined) return;
      before = last.task;
      await setImmediate(); // a turn for other work
    }
  }

  /** Changes the dead letters with some task ids, as far as they exist. @throws HeadersError */
  async changeSome(
    taskIds: readonly number[],
    change: DeadLetterChange,
  ): Promise<{ matched: number; changed: number }> {
    const { deadLetterChanges, deadLetters, clock } = this.#deps;
    const found = await findAll(deadLetters, taskIds);
    if (found.length === 0) return { matched: 0, changed: 0 };
    const changed = await changeDeadLetters(found, { ...change, dueFrom: clock.steady() }, deadLetterChanges);
    return { matched: found.length, changed };
  }

  /** Starts an operation on all dead letters that match a filter. It is durable when this resolves. */
  async begin(
    filter: DeadLetterFilter,
    change: DeadLetterChange,
    startedBy: string | null = null,
  ): Promise<BulkOperation> {
    const { deadLetterChanges, deadLetters } = this.#deps;
    const matched = await deadLetters.count(filter);
    const operation = await deadLetterChanges.begin({ ...change, filter, matched, startedBy });
    this.#start(operation);
    return operation;
  }

  /** The operation when it has ended, or its state after `ms`. */
  async ended(id: number, ms: number): Promise<BulkOperation | undefined> {
    const running = this.#running.get(id);
    if (running !== undefined && ms > 0) {
      const waited = new AbortController();
      await Promise.race([running.done, delay(this.#deps.clock, ms, waited.signal).catch(() => {})]);
      waited.abort();
    }
    return this.#deps.deadLetterChanges.operation(id);
  }

  /** Stops an operation; its changes so far stay. `undefined` if there is none. */
  async stop(id: number): Promise<BulkOperation | undefined> {
    const running = this.#running.get(id);
    running?.stop.abort();
    await running?.done;
    return this.#deps.deadLetterChanges.operation(id);
  }

  #start(operation: BulkOperation): void {
    const stop = new AbortController();
    const done = this.#run(operation, stop.signal).finally(() => this.#running.delete(operation.id));
    this.#running.set(operation.id, { done, stop });
  }

  async #run(started: BulkOperation, stopped: AbortSignal): Promise<void> {
    const { clock, signal, onQueueError: onTrouble } = this.#deps;
    for (let operation = started; operation.state === "running" && !signal.aborted; ) {
      try {
        operation = await this.#step(operation, stopped);
      } catch (error) {
        if (signal.aborted) return; // the stores may be closed by now
        onTrouble(error);
        await delay(clock, RETRY_MS, signal).catch(() => {}); // stopping
      }
    }
  }

  /** Changes the next dead letters of an operation, or ends it. Resolves to its new state. */
  async #step(operation: BulkOperation, stopped: AbortSignal): Promise<BulkOperation> {
    const { deadLetters, clock, deadLetterChanges, signal } = this.#deps;
    const { id, filter, beforeTask, processed, ratePerSecond } = operation;
    const batch = await deadLetters.full(filter, beforeTask, BATCH);
    signal.throwIfAborted();
    // After the read, so that a stop in its course changes no more dead letters.
    if (stopped.aborted) return this.#end(operation, "stopped");
    const last = batch.at(-1);
    if (last === undefined) return this.#end(operation, "completed");
    // Replays whose time passed while no process ran must not start all at once.
    const dueAt = operation.dueFrom + processed * gapMs(ratePerSecond);
    const lateMs = Math.max(0, Math.ceil(clock.steady() - dueAt));
    const dueFrom = dueAt + lateMs;
    if (await this.#waited(dueFrom, stopped)) return (await deadLetterChanges.operation(id)) ?? operation;
    const step = { id, processed: batch.length, beforeTask: last.task, lateMs };
    try {
      await changeDeadLetters(batch, { ...operation, dueFrom }, deadLetterChanges, step);
      return (await deadLetterChanges.operation(id)) ?? operation;
    } catch (error) {
      if (!(error instanceof HeadersError)) throw error;
      return this.#end(operation, "failed", error.message);
    }
  }

  /** Waits for a while if tasks that are due at `dueFrom` need not be requeued yet; false if it did not. */
  async #waited(dueFrom: number, stopped: AbortSignal): Promise<boolean> {
    const { clock, signal } = this.#deps;
    const earlyMs = dueFrom - AHEAD_MS - clock.steady();
    if (earlyMs <= 0) return false;
    await delay(clock, Math.min(earlyMs, LOOK_MS), AbortSignal.any([stopped, signal])).catch(() => {}); // an end
    return true;
  }

  async #end(operation: BulkOperation, state: "completed" | "stopped" | "failed", error?: string) {
    await this.#deps.deadLetterChanges.end(operation.id, state, error);
    return { ...operation, state };
  }
}

/** The dead letters of some tasks, each once, as far as they exist. */
export async function findAll(
  deadLetters: Pick<DeadLetterReads, "find">,
  taskIds: readonly number[],
): Promise<FullDeadLetter[]> {
  const found = await Promise.all([...new Set(taskIds)].map((id) => deadLetters.find(id)));
  return found.filter((deadLetter) => deadLetter !== undefined);
}

export function isIds(targets: readonly number[] | DeadLetterFilter): targets is readonly number[] {
  return Array.isArray(targets);
}
