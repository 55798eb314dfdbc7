import {
  type BulkOperation,
  type BulkOperationState,
  type DeadLetterChanges,
  type DeadLetterRef,
  type DiscardReason,
  type NewBulkOperation,
  type OperationStep,
  type Replay,
} from "../../jobs/stores/dead-letter-changes.ts";
import type { QueueContext } from "../queue/queue-context.ts";
import { advanceOperation, beginOperation, endOperation, readOperation, readOperations } from "./bulk-operations.ts";
import { noteReplaySchedule } from "./replay-schedule.ts";
import { discardDeadLetter, replayTask } from "./replay-task.ts";

/**
 * Replays and discards dead letters. queue.db decides this, too (D1). Each dead letter is changed once, however often
 * that is requested: one that is gone is left out.
 */
export class DeadLetterCommands implements DeadLetterChanges {
  readonly #context: QueueContext;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  /**
   * Requeues the tasks of dead letters in one commit, which may be a step of an operation. Resolves to their number.
   */
  replay(replays: readonly Replay[], step?: OperationStep): Promise<number> {
    return this.#context.commit.run((changes) => {
      const replayed = replays.filter((replay) => replayTask(this.#context, replay, changes));
      noteReplaySchedule(
        this.#context,
        replayed.map(({ availableAt }) => availableAt),
      );
      return this.#noted(replayed.length, step);
    });
  }

  /** Discards dead letters in one commit; their tasks stay failed. Resolves to their number. */
  discard(deadLetters: readonly DeadLetterRef[], reason: DiscardReason, step?: OperationStep): Promise<number> {
    return this.#context.commit.run((changes) =>
      this.#noted(deadLetters.filter((ref) => discardDeadLetter(this.#context, ref, reason, changes)).length, step),
    );
  }

  /** Records an operation, so that the next process continues it. */
  begin(operation: NewBulkOperation): Promise<BulkOperation> {
    return this.#context.commit.run(() => beginOperation(this.#context, operation));
  }

  end(id: number, state: Exclude<BulkOperationState, "running">, error?: string): Promise<void> {
    return this.#context.commit.run(() => endOperation(this.#context, id, state, error));
  }

  async operation(id: number): Promise<BulkOperation | undefined> {
    return readOperation(this.#context, id);
  }

  /** The latest first. */
  async operations(): Promise<BulkOperation[]> {
    return readOperations(this.#context);
  }

  #noted(changed: number, step: OperationStep | undefined): number {
    if (step !== undefined) advanceOperation(this.#context, step, changed);
    return changed;
  }
}
