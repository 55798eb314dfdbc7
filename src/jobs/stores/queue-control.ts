import type { TaskState } from "../task.ts";
import type { QueuedTask } from "./ledger-reads.ts";

/** Tasks in the states that are not final. */
export type Depth = Readonly<Record<Extract<TaskState, "pending" | "running" | "retrying">, number>>;

/** The pause, and the figures of the queue that operators see. A backend answers from memory what is no promise. */
export interface QueueControl {
  isPaused(): boolean;
  /**
   * Begins or ends a pause. Resolves to the length of the pause that ends here, in milliseconds: every deadline of
   * what waits moves by it.
   */
  setPaused(paused: boolean): Promise<number>;
  /** The time `ms` ago by the steady clock, without the last pause. */
  timeBefore(ms: number): number;
  /** Tasks by state; the ledger and the dead letters are read no older than this. */
  depth(): Promise<Depth>;
  /** How long the longest due task has been due, in milliseconds; 0 if no task is due. */
  oldestPendingAgeMs(): Promise<number>;
  /**
   * Milliseconds until the first waiting task is due, among hosts for which `isAskedFor` holds; 0 if one is due now,
   * `undefined` if no such task is among the lanes that are due first.
   */
  nextDueMs(isAskedFor?: (host: string) => boolean): Promise<number | undefined>;
  /** The hosts with most waiting tasks, and their numbers. */
  busiestHosts(limit: number): Promise<Map<string, number>>;
  /**
   * The number of tasks that wait for a bucket; `undefined` if more lanes than `lanesMax` wait, so that a count would
   * be too expensive.
   */
  waitingForBucket(bucket: string, lanesMax: number): Promise<number | undefined>;
  /** Tasks of one job with ids above `afterId` in some states, in order of their ids. */
  tasksOfJob(job: TaskRange, states: readonly TaskState[]): Promise<QueuedTask[]>;
}

/** A part of a job's tasks. */
export interface TaskRange {
  readonly job: { readonly seq: number; readonly firstTask: number; readonly lastTask: number };
  readonly afterId: number;
  readonly limit: number;
}
