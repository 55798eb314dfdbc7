import type { JobStatus, Priority } from "../job.ts";
import type { AttemptRecord, Integrity, Task, TaskState } from "../task.ts";

/** What is known of one job. Times are milliseconds since the epoch. */
export interface JobRecord {
  readonly seq: number;
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  readonly priority: Priority;
  readonly traceId: string;
  readonly manifestUrl: string;
  readonly status: JobStatus;
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly bytes: number;
  readonly firstTask: number;
  readonly lastTask: number;
  readonly logCount: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly completedAt: number | null;
}

/** How one task ended. */
export interface ResultRecord {
  readonly task: number;
  readonly state: "completed" | "failed" | "cancelled";
  readonly resourceId: string;
  readonly url: string;
  readonly finalUrl: string | null;
  readonly attempts: number;
  readonly httpStatus: number | null;
  readonly bytes: number | null;
  readonly integrity: Integrity | null;
  /** Hex. */
  readonly sha256: string | null;
  readonly etag: string | null;
  readonly contentType: string | null;
  readonly contentEncoding: string | null;
  readonly storageUrl: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly startedAt: number | null;
  readonly finishedAt: number;
  readonly history: readonly AttemptRecord[];
}

/** The rows that one read found, and where the next one begins. */
export interface LogStretch {
  readonly rows: readonly LogRecord[];
  /** Less than the job's `logCount` while there is more to read. */
  readonly next: number;
}

export interface LogRecord {
  readonly offset: number;
  readonly at: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly resourceId: string | null;
  /** JSON object. */
  readonly fields: string;
}

export interface JobFilter {
  readonly status?: JobStatus | undefined;
  readonly jobType?: string | undefined;
  readonly tenant?: string | undefined;
  /** Jobs that were accepted under this key, as long as it is remembered: one of each tenant at most. */
  readonly idempotencyKey?: string | undefined;
  /** Accepted at this time or later, milliseconds since the epoch. The store takes jobs as accepted in order. */
  readonly since?: number | undefined;
  /** Accepted before this time. */
  readonly until?: number | undefined;
  /** The first characters of the job id, in lower case and with its hyphens. */
  readonly idPrefix?: string | undefined;
}

/** The number of jobs in each status. */
export interface JobCounts {
  readonly counts: Readonly<Record<JobStatus, number>>;
  /** True if a count may be too low, because there was more to examine. */
  readonly isCapped: boolean;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** A task as the queue sees it. One that ended has left its contents to the ledger. */
export interface QueuedTask {
  readonly id: number;
  readonly state: TaskState;
  readonly attempts: number;
  readonly task: Task | undefined;
  readonly history: readonly AttemptRecord[];
}

/** Reads what happened to jobs. It decides nothing. */
export interface LedgerReads {
  /** Takes in all that was committed: later reads agree with the queue. */
  bringUpToDate(): Promise<void>;
  /**
   * Calls `onNews` for each change of a job, until the returned function is called. A read that starts in a later turn
   * of the event loop shows the change.
   */
  watch(seq: number, onNews: () => void): () => void;
  /** A job at work may show counters of a moment ago; `bringUpToDate` first makes them exact. */
  findJob(jobId: string): Promise<JobRecord | undefined>;
  /** Jobs with numbers below `beforeSeq`, the newest first. */
  listJobs(filter: JobFilter, beforeSeq: number, limit: number): Promise<JobRecord[]>;
  /**
   * Counts the jobs by status. Without a type and a tenant the counts are exact. With one of them, the store examines
   * at most `limit` jobs of each status, the newest first.
   */
  countJobs(filter: Pick<JobFilter, "jobType" | "tenant">, limit: number): Promise<JobCounts>;
  /** The first failed tasks of a job, in order of their ids. */
  failures(job: JobRecord, limit: number): Promise<ResultRecord[]>;
  /** Results of a job with task ids above `afterTask`, in order of their ids. */
  results(job: JobRecord, afterTask: number, limit: number, state?: ResultRecord["state"]): Promise<ResultRecord[]>;
  /** The result of one task, once it has ended. */
  result(task: number): Promise<ResultRecord | undefined>;
  /**
   * Log lines of a job from `offset` on. One call reads a bounded number of rows, whatever their levels: for more, the
   * caller continues at `next` in another turn of the event loop.
   */
  logs(job: JobRecord, offset: number, limit: number, levels: readonly LogLevel[]): Promise<LogStretch>;
}
