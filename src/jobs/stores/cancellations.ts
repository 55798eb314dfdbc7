import type { Task } from "../task.ts";

/** A task of a cancelled job that nobody works on. */
export interface WaitingTask {
  readonly id: number;
  readonly jobId: string;
  readonly task: Task;
  /** An earlier attempt may have left its object. */
  readonly mayHaveStored: boolean;
}
