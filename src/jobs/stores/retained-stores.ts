/** Where retention stops in the ledger's jobs: they are ordered by their end. */
interface EndedJob {
  readonly completedAt: number;
  readonly seq: number;
}

/** Removes from the queue what ended long ago. Times are milliseconds since the epoch. */
export interface QueueRetention {
  /** Jobs that ended before `before` and may be pruned. */
  prunableJobs(before: number, limit: number): number[];
  /** Removes ended jobs until about `rows` rows are gone. Resolves to the number of jobs that are gone. */
  pruneJobs(jobs: readonly number[], rows: number): Promise<number>;
  /** Forgets idempotency keys from before `before`, except those of jobs at work. Resolves to their number. */
  pruneKeys(before: number, limit: number): Promise<number>;
  hasJob(seq: number): boolean;
  /** Returns up to `limit` free pages to the file system. False if there was nothing to do. */
  giveBackPages(limit: number): boolean;
  /** When the wall clock was last found right; 0 if it never was. */
  clockTrustedAt(): number;
  noteTrustedClock(now: number): Promise<void>;
}

/** The same for the ledger. */
export interface LedgerRetention {
  /** Removes log rows of jobs that ended before `before`, about `limit`. */
  pruneLogs(before: number, limit: number): { rows: number; more: boolean };
  /** Jobs that ended before `before`, the oldest first, those after `after`. */
  prunableJobs(before: number, after: EndedJob, limit: number): EndedJob[];
  /** Removes jobs until about `rows` rows are gone. Returns the number of jobs that are gone. */
  pruneJobs(jobs: readonly number[], rows: number): number;
  /** Forgets idempotency keys from before `before`. Returns their number, at most `limit`. */
  pruneKeys(before: number, limit: number): number;
  giveBackPages(limit: number): boolean;
}

/** The same for the dead letters; `DeadLetterChanges.discard` removes them. */
export interface DeadLetterRetention {
  /** Dead letters from before `before`, the oldest first. */
  oldest(before: number, limit: number): { id: number; resourceId: string }[];
  /** The size of all, in bytes. */
  bytes(): number;
  giveBackPages(limit: number): boolean;
}
