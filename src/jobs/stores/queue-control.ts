import type { TaskState } from "../task.ts";
import type { QueuedTask } from "./ledger-reads.ts";

/** Tasks in the states that are not final. */
export type Depth = Readonly<Record<Extract<TaskState, "pending" | "running" | "retrying">, number>>;

/** A pause of the queue. */
export interface Pause {
  /** Name of the token that began it; `null` if it is unknown. */
  readonly by: string | null;
  /** Its start, milliseconds since the epoch. */
  readonly at: number;
}

/** The pause, and the figures of the queue that operators see. A backend answers from memory what is no promise. */
export interface QueueControl {
  isPaused(): boolean;
  /** The current pause; `undefined` while the queue is not paused. */
  pause(): Pause | undefined;
  /**
   * Begins or ends a pause. Resolves to the length of the pause that ends here, in milliseconds: every deadline of
   * what waits moves by it. `by` names the token that begins it; a pause that has begun keeps its name.
   */
  setPaused(paused: boolean, by?: string | null): Promise<number>;
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
   * A part of the hosts with waiting tasks, those with most tasks first. It examines a bounded number of hosts, so a
   * part may have fewer hosts than its limit before the end.
   */
  waitingHosts(part: WaitingHostsPart): Promise<WaitingHosts>;
  /** The numbers of waiting tasks of some hosts; a host without one is absent. */
  waitingOf(hosts: readonly string[]): Promise<Map<string, number>>;
  /**
   * The number of tasks that wait for a bucket; `undefined` if more lanes than `lanesMax` wait, so that a count would
   * be too expensive.
   */
  waitingForBucket(bucket: string, lanesMax: number): Promise<number | undefined>;
  /** Tasks of one job with ids above `afterId` in some states, in order of their ids. */
  tasksOfJob(job: TaskRange, states: readonly TaskState[]): Promise<QueuedTask[]>;
}

/** A host and the number of its waiting tasks. */
export interface WaitingHost {
  readonly host: string;
  readonly tasks: number;
}

/** A part of the hosts with waiting tasks. */
export interface WaitingHostsPart {
  /** The last host before it; absent: it is the first part. */
  readonly after?: WaitingHost | undefined;
  readonly limit: number;
  /** Only hosts whose name contains this text; absent or empty: all. */
  readonly contains?: string | undefined;
}

export interface WaitingHosts {
  /** The number of waiting tasks by host. */
  readonly hosts: ReadonlyMap<string, number>;
  /** The last host that was examined, after which the next part starts; `undefined` at the end. */
  readonly next: WaitingHost | undefined;
}

/** A part of a job's tasks. */
export interface TaskRange {
  readonly job: { readonly seq: number; readonly firstTask: number; readonly lastTask: number };
  readonly afterId: number;
  readonly limit: number;
}
