import type { Failure, FailureCode } from "./failure.ts";
import type { AttemptRecord, ClaimedTask, TaskResult } from "./task.ts";

/** How one attempt ended. */
export type Outcome =
  | { readonly kind: "stored"; readonly result: TaskResult }
  | { readonly kind: "failed"; readonly failure: Failure; readonly attempt: AttemptRecord }
  | { readonly kind: "interrupted"; readonly by: Interruption };

export type FailedOutcome = Extract<Outcome, { kind: "failed" }>;

/**
 * `closed bucket`: its bucket was closed, or was being probed, when it was to begin. `no descriptors`: the process
 * could open nothing more.
 */
export type Interruption = "shutdown" | "cancel" | "closed bucket" | "no descriptors";

/** The next state of the task; `settle` carries it out, once. */
export type Verdict =
  | { readonly kind: "complete"; readonly result: TaskResult }
  /** The attempt is spent; another follows at `availableAt`. */
  | { readonly kind: "retry"; readonly attempt: AttemptRecord; readonly availableAt: number }
  /** Host or storage cannot be used for a while; no attempt is spent. */
  | {
      readonly kind: "snooze";
      readonly attempt: AttemptRecord;
      readonly availableAt: number;
      readonly waitingSince: NonNullable<ClaimedTask["waitingSince"]>;
    }
  /** Back to where it was, as if it had never been claimed. */
  | { readonly kind: "release" }
  /** Its job was cancelled while it ran. */
  | { readonly kind: "cancel" }
  /** Permanently: the task becomes a dead letter. */
  | {
      readonly kind: "discard";
      readonly code: FailureCode;
      readonly message: string;
      readonly attempt: AttemptRecord;
      /** Spent in all. */
      readonly attempts: number;
    };

/** Traces that an attempt may leave in the storage; they are filled in while the attempt runs. */
export interface UploadTraces {
  /** A request that may make the object visible was started, and the storage did not refuse it. */
  readonly uploadBegan: boolean;
  /** An unrecorded upload may be open under the key: one that probed the server's abilities. */
  readonly probeOpen: boolean;
  /** The token that the object carries then; `undefined` where no object is stored late. */
  readonly token: string | undefined;
  /** Recorded uploads of the attempt that are no longer open. */
  readonly closed: ReadonlySet<string>;
}

export interface Settlement {
  readonly claimed: ClaimedTask;
  readonly verdict: Verdict;
  /** Absent where no attempt was made. */
  readonly upload?: UploadTraces;
  /** The worker that made the attempt, counted from 1; absent where none did. */
  readonly workerId?: number;
}
