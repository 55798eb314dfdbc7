import { type AttemptRecord, type Task } from "../task.ts";

export interface InterruptedTask {
  readonly id: number;
  readonly claimId: number;
  readonly job: number;
  readonly lane: number;
  readonly attempts: number;
  /** The crash just found included, if the task ran then. */
  readonly crashes: number;
  /** When those attempts began that counted as crashes, the latest last. */
  readonly crashTimes: readonly number[];
  readonly task: Task;
  readonly history: readonly AttemptRecord[];
}

/** A task about to be buried. */
export interface PoisonTask {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
}

export interface RecoveredQueue {
  /** Tasks that were claimed when the last process died. */
  readonly interrupted: number;
  /** Those of them that run alone from now on. */
  readonly suspects: number;
  /** Jobs whose acceptance never came. */
  readonly sweptJobs: number;
}
