import { type AttemptRecord, type Task } from "../task.ts";
import type { DeadLetterFilter } from "./dead-letter-reads.ts";

export const BULK_OPERATION_KINDS = ["replay", "give_up"] as const;

type BulkOperationKind = (typeof BULK_OPERATION_KINDS)[number];

export const BULK_OPERATION_STATES = ["running", "completed", "stopped", "failed"] as const;

export type BulkOperationState = (typeof BULK_OPERATION_STATES)[number];

/** What an operator wants to be otherwise when a task is tried again. */
export interface Overrides {
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly proxyPool?: string | undefined;
}

export interface NewBulkOperation {
  readonly kind: BulkOperationKind;
  readonly filter: DeadLetterFilter;
  readonly overrides: Overrides;
  /** Tasks that become due per second; absent: all at once. */
  readonly ratePerSecond: number | undefined;
  /** Letters that match now. */
  readonly matched: number;
  /** Name of the token that started it; `null` if it is unknown. */
  readonly startedBy: string | null;
}

/** Something that is done to all dead letters of a filter, downwards by their task ids. */
export interface BulkOperation extends NewBulkOperation {
  readonly id: number;
  readonly state: BulkOperationState;
  /** Letters that it came to. */
  readonly processed: number;
  /** Those of them that it changed; the others were none any more. */
  readonly changed: number;
  /** From this task id on all is done. */
  readonly beforeTask: number;
  /** Where the rate counts from, by the steady clock. */
  readonly dueFrom: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly finishedAt: number | null;
  readonly error: string | null;
}

/** How far an operation came with one batch; written in the batch's commit. */
export interface OperationStep {
  readonly id: number;
  readonly processed: number;
  readonly beforeTask: number;
  /** By this time its tasks become due later than the rate would have it; so do those of later steps. */
  readonly lateMs: number;
}

/** A dead letter that is to be tried again, with what an operator changed of its task. */
export interface Replay {
  readonly id: number;
  readonly task: Task;
  readonly history: readonly AttemptRecord[];
  /** When it may be claimed, by the steady clock. */
  readonly availableAt: number;
}

/** Why a dead letter goes without being tried again. */
export type DiscardReason = "given_up" | "pruned";

/** Names one dead letter. */
export interface DeadLetterRef {
  readonly id: number;
  readonly resourceId: string;
}

/** Changes dead letters. Each is changed once, however often that is asked for; one that is gone is left out. */
export interface DeadLetterChanges {
  /**
   * Puts tasks back to work, all in one commit, which also notes the step of an operation. Resolves to their number.
   */
  replay(replays: readonly Replay[], step?: OperationStep): Promise<number>;
  /** Discards dead letters, all in one commit; their tasks stay failed. Resolves to their number. */
  discard(deadLetters: readonly DeadLetterRef[], reason: DiscardReason, step?: OperationStep): Promise<number>;
  /** Records an operation, so that the next process continues it. */
  begin(operation: NewBulkOperation): Promise<BulkOperation>;
  /** Ends an operation; one that has ended stays as it is. */
  end(id: number, state: Exclude<BulkOperationState, "running">, error?: string): Promise<void>;
  operation(id: number): Promise<BulkOperation | undefined>;
  /** Those that are remembered, the latest first. */
  operations(): Promise<BulkOperation[]>;
}
