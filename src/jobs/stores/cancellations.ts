import type { Task } from "../task.ts";

/** A task of a cancelled job that nobody works on. */
export interface WaitingTask {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
  /** An earlier attempt may have left its object. */
  readonly mayHaveStored: boolean;
}

/** A job that is being cancelled. */
export interface RequestedCancellation {
  /** The number of the job. */
  readonly job: number;
  /** False if the job was being cancelled already. */
  readonly isNew: boolean;
}

/** Cancels jobs: first the mark, then the tasks that wait, in batches. */
export interface Cancellations {
  /** Calls `listener`, after the commit, when a task of a job that is being cancelled waits again. */
  onWaitingAgain(listener: (job: number) => void): void;
  /**
   * Marks a job: none of its tasks is claimed from now on. Resolves to `undefined` if no such job is at work.
   */
  request(jobId: string): Promise<RequestedCancellation | undefined>;
  /** True from the commit of the mark until the job has ended. */
  isCancelling(job: number): boolean;
  /** Numbers of the jobs that are being cancelled; after a start, those that the last process did not finish. */
  cancelling(): Promise<number[]>;
  /** Waiting tasks of a job with ids above `afterId`, in order of their ids. */
  waiting(job: number, afterId: number, limit: number): Promise<WaitingTask[]>;
  /** Cancels those of some tasks that still wait. */
  cancelWaiting(job: number, ids: readonly number[]): Promise<void>;
}
