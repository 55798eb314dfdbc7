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
 * What becomes of dead letters, which queue.db decides, too (D1). A letter is dealt with once, whoever asks how often:
 * one that is none any more is left out.
 */
export class DeadLetterCommands implements DeadLetterChanges {
  readonly #context: QueueContext;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  /** Puts letters back to work, all in one commit, as a step of an operation or not. How many it were. */
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

  /** Lets letters go, all in one commit; their tasks stay failed. How many it were. */
  discard(letters: readonly DeadLetterRef[], reason: DiscardReason, step?: OperationStep): Promise<number> {
    return this.#context.commit.run((changes) =>
      this.#noted(letters.filter((letter) => discardDeadLetter(this.#context, letter, reason, changes)).length, step),
    );
  }

  /** Remembers what is going to be done, so that the next process goes on where this one ends. */
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
