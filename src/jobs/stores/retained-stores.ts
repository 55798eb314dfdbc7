import type { DeadLetterRef } from "./dead-letter-changes.ts";

/** Where retention stops in the ledger's jobs: they are ordered by their end. */
interface EndedJob {
  readonly completedAt: number;
  readonly seq: number;
}

/** Removes from the queue what ended long ago. Times are milliseconds since the epoch. */
export interface QueueRetention {
  /** Jobs that ended before `before` and may be pruned. */
  prunableJobs(before: number, limit: number): Promise<number[]>;
  /** Removes ended jobs until about `rows` rows are gone. Resolves to the number of jobs that are gone. */
  pruneJobs(jobs: readonly number[], rows: number): Promise<number>;
  /** Forgets idempotency keys from before `before`, except those of jobs at work. Resolves to their number. */
  pruneKeys(before: number, limit: number): Promise<number>;
  /** Those of some jobs that the queue still has. */
  keptJobs(jobs: readonly number[]): Promise<number[]>;
  /** Returns up to `limit` free pages to the file system. False if there was nothing to do. */
  giveBackPages(limit: number): Promise<boolean>;
  /** When the wall clock was last found right; 0 if it never was. */
  clockTrustedAt(): Promise<number>;
  noteTrustedClock(now: number): Promise<void>;
}

/** The same for the ledger. */
export interface LedgerRetention {
  /** Removes log rows of jobs that ended before `before`, about `limit`. */
  pruneLogs(before: number, limit: number): Promise<{ rows: number; more: boolean }>;
  /** Jobs that ended before `before`, the oldest first, those after `after`. */
  prunableJobs(before: number, after: EndedJob, limit: number): Promise<EndedJob[]>;
  /** Removes jobs until about `rows` rows are gone. Resolves to the number of jobs that are gone. */
  pruneJobs(jobs: readonly number[], rows: number): Promise<number>;
  /** Forgets idempotency keys from before `before`. Resolves to their number, at most `limit`. */
  pruneKeys(before: number, limit: number): Promise<number>;
  giveBackPages(limit: number): Promise<boolean>;
}

/** The same for the dead letters; `DeadLetterChanges.discard` removes them. */
export interface DeadLetterRetention {
  /** Dead letters from before `before`, the oldest first. */
  oldest(before: number, limit: number): Promise<DeadLetterRef[]>;
  /** The size of all, in bytes. */
  bytes(): Promise<number>;
  giveBackPages(limit: number): Promise<boolean>;
}
