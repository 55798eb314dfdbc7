import type { AttemptRecord, Task } from "../task.ts";

export interface DeadLetterRecord {
  readonly task: number;
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  readonly resourceId: string;
  readonly url: string;
  readonly host: string;
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  /** Milliseconds since the epoch. */
  readonly failedAt: number;
}

export interface DeadLetterFilter {
  readonly code?: string | undefined;
  readonly host?: string | undefined;
  readonly jobId?: string | undefined;
  readonly jobType?: string | undefined;
  readonly tenant?: string | undefined;
  /** Failed at this time or later, milliseconds since the epoch. */
  readonly since?: number | undefined;
  /** Failed before this time. */
  readonly until?: number | undefined;
}

export interface FullDeadLetter extends DeadLetterRecord {
  readonly contents: Task;
  readonly history: readonly AttemptRecord[];
}

/** What dead letters can be counted by. */
export const GROUPINGS = ["code", "host", "job_type", "day"] as const;

export type Grouping = (typeof GROUPINGS)[number];

/** Dead letters that have something in common. */
export interface DeadLetterGroup {
  readonly key: string;
  readonly letters: number;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** One of the latest. */
  readonly sample: number;
}

/** Reads dead letters. `DeadLetterChanges` changes them. */
export interface DeadLetterReads {
  /** The number of all dead letters. */
  size(): Promise<number>;
  /** Dead letters with task ids below `beforeTask`, the newest task first. */
  list(filter: DeadLetterFilter, beforeTask: number, limit: number): Promise<DeadLetterRecord[]>;
  /** A dead letter with its attempts and with all that its task needs to run again. */
  find(task: number): Promise<FullDeadLetter | undefined>;
  /** The same as `find` for each that matches, with task ids below `beforeTask`, the newest task first. */
  full(filter: DeadLetterFilter, beforeTask: number, limit: number): Promise<FullDeadLetter[]>;
  /** The number of those that match; with `atMost`, the count stops there. */
  count(filter: DeadLetterFilter, atMost?: number): Promise<number>;
  /** Counts those that match by what they have in common: the largest groups first, or the latest days. */
  groups(by: Grouping, filter: DeadLetterFilter, limit: number): Promise<DeadLetterGroup[]>;
}
