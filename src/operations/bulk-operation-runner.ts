import { setImmediate } from "node:timers/promises";
import type { BulkOperation, DeadLetterChanges } from "../jobs/stores/dead-letter-changes.ts";
import type { DeadLetterFilter, DeadLetterReads, FullDeadLetter } from "../jobs/stores/dead-letter-reads.ts";
import { type Clock, delay } from "../std/clock.ts";
import { changeDeadLetters, type DeadLetterChange, gapMs, HeadersError, withOverrides } from "./dead-letter-change.ts";

export interface BulkOperationRunnerDeps {
  readonly desk: DeadLetterChanges;
  readonly deadLetters: Pick<DeadLetterReads, "find" | "full" | "count">;
  readonly clock: Clock;
  /** The queue cannot be written to (a full disk); it is tried again. */
  readonly onTrouble: (error: unknown) => void;
  /** Ends all that is under way; the next process goes on. */
  readonly signal: AbortSignal;
}

/** Letters of one commit; between two of them everybody else has a turn. */
const BATCH = 200;
const RETRY_MS = 1000;

interface Running {
  readonly done: Promise<void>;
  readonly stop: AbortController;
}

/**
 * Replays dead letters or gives them up: some by their ids, at once; all of a filter, however many, in the background.
 * An operation is remembered with each commit that it makes, and goes on after a crash; each letter is dealt with once.
 */
export class BulkOperationRunner {
  readonly #deps: BulkOperationRunnerDeps;
  readonly #running = new Map<number, Running>();

  constructor(deps: BulkOperationRunnerDeps) {
    this.#deps = deps;
  }

  /** Goes on with what the last process did not get done. */
  async resume(): Promise<void> {
    for (const operation of await this.#deps.desk.operations())
      if (operation.state === "running") this.#start(operation);
  }

  /** Looks whether letters can be dealt with so, and changes nothing. @throws HeadersError */
  async tryOut(letters: readonly number[] | DeadLetterFilter, { overrides }: DeadLetterChange): Promise<void> {
    const { deadLetters } = this.#deps;
    if (overrides.headers === undefined) return; // nothing else depends on the letter
    if (isIds(letters)) return void withOverrides(this.#find(letters), overrides);
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const page = deadLetters.full(letters, before, BATCH);
      withOverrides(page, overrides);
      const last = page.at(-1);
      if (last === undefined) return;
      before = last.task;
      await setImmediate(); // for everybody else
    }
  }

  /** Deals with letters by their task ids, as far as there are any. @throws HeadersError */
  async changeSome(
    taskIds: readonly number[],
    change: DeadLetterChange,
  ): Promise<{ matched: number; changed: number }> {
    const { desk, clock } = this.#deps;
    const letters = this.#find(taskIds);
    if (letters.length === 0) return { matched: 0, changed: 0 };
    const changed = await changeDeadLetters(letters, { ...change, dueFrom: clock.steady() }, desk);
    return { matched: letters.length, changed };
  }

  /** Begins to deal with all letters of a filter. It is remembered when this resolves. */
  async begin(filter: DeadLetterFilter, change: DeadLetterChange): Promise<BulkOperation> {
    const { desk, deadLetters } = this.#deps;
    const operation = await desk.begin({ ...change, filter, matched: deadLetters.count(filter) });
    this.#start(operation);
    return operation;
  }

  /** The operation once it has ended, or as it is after `ms`. */
  async ended(id: number, ms: number): Promise<BulkOperation | undefined> {
    const running = this.#running.get(id);
    if (running !== undefined && ms > 0) {
      const waited = new AbortController();
      await Promise.race([running.done, delay(this.#deps.clock, ms, waited.signal).catch(() => {})]);
      waited.abort();
    }
    return this.#deps.desk.operation(id);
  }

  /** Ends an operation where it is; what it did stays done. Nothing if there is none. */
  async stop(id: number): Promise<BulkOperation | undefined> {
    const running = this.#running.get(id);
    running?.stop.abort();
    await running?.done;
    return this.#deps.desk.operation(id);
  }

  #find(taskIds: readonly number[]): FullDeadLetter[] {
    return [...new Set(taskIds)].flatMap((id) => this.#deps.deadLetters.find(id) ?? []);
  }

  #start(operation: BulkOperation): void {
    const stop = new AbortController();
    const done = this.#run(operation, stop.signal).finally(() => this.#running.delete(operation.id));
    this.#running.set(operation.id, { done, stop });
  }

  async #run(begun: BulkOperation, stopped: AbortSignal): Promise<void> {
    const { clock, signal, onTrouble } = this.#deps;
    for (let operation = begun; operation.state === "running" && !signal.aborted; ) {
      try {
        operation = await this.#step(operation, stopped);
      } catch (error) {
        if (signal.aborted) return; // the stores may be closed by now
        onTrouble(error);
        await delay(clock, RETRY_MS, signal).catch(() => {}); // stopping
      }
    }
  }

  /** Deals with the next letters of an operation, or ends it. The operation as it is then. */
  async #step(operation: BulkOperation, stopped: AbortSignal): Promise<BulkOperation> {
    const { deadLetters, clock, desk } = this.#deps;
    const { id, filter, beforeTask, processed, ratePerSecond } = operation;
    if (stopped.aborted) return this.#end(operation, "stopped");
    const letters = deadLetters.full(filter, beforeTask, BATCH);
    const last = letters.at(-1);
    if (last === undefined) return this.#end(operation, "completed");
    // Not all at once what became due while nobody was there.
    const elapsedMs = processed * gapMs(ratePerSecond);
    const dueFrom = Math.max(operation.dueFrom + elapsedMs, clock.steady());
    const step = { id, processed: letters.length, beforeTask: last.task };
    try {
      const changed = operation.changed + (await changeDeadLetters(letters, { ...operation, dueFrom }, desk, step));
      return {
        ...operation,
        processed: processed + step.processed,
        changed,
        beforeTask: last.task,
        dueFrom: dueFrom - elapsedMs,
      };
    } catch (error) {
      if (!(error instanceof HeadersError)) throw error;
      return this.#end(operation, "failed", error.message);
    }
  }

  async #end(operation: BulkOperation, state: "completed" | "stopped" | "failed", error?: string) {
    await this.#deps.desk.end(operation.id, state, error);
    return { ...operation, state };
  }
}

export function isIds(letters: readonly number[] | DeadLetterFilter): letters is readonly number[] {
  return Array.isArray(letters);
}
