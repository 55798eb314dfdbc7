import type { TraceContext } from "../net/trace-context.ts";

/**
 * A job: one accepted manifest. Its status is a function of its counters; see `statusOf`.
 * The states are repeated as a CHECK in the SQL of both stores that hold jobs.
 */
export const JOB_STATUSES = ["queued", "in_progress", "completed", "partial", "failed", "cancelled"] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

export const PRIORITIES = ["low", "normal", "high"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Tasks of a job by their end. Other tasks are still pending, running or retrying. */
export interface JobCounters {
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

/**
 * The data of a job that go everywhere: to the queue, tasks, events, logs and answers. As a trace context it is the
 * span that its attempts belong to.
 */
export interface JobHeader extends TraceContext {
  /** Sequential number in queue.db; the key in all three stores. */
  readonly seq: number;
  /** UUIDv7 whose last byte is `server.instance`. */
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  readonly priority: Priority;
  /** URL of the stored manifest, as served. */
  readonly manifestUrl: string;
  /** Milliseconds since the epoch, as all times in the stores. */
  readonly createdAt: number;
}

export function isFinished(status: JobStatus): boolean {
  return status !== "queued" && status !== "in_progress";
}

/** The status of a job that has started: by its counters alone. */
export function statusOf(job: JobCounters): JobStatus {
  if (job.completed + job.failed + job.cancelled < job.total) return "in_progress";
  if (job.cancelled > 0) return "cancelled";
  if (job.failed === 0) return "completed";
  return job.completed === 0 ? "failed" : "partial";
}

/** A new job id: UUIDv7 (RFC 9562) whose last byte is replaced by the instance number, 0–255. */
export function newJobId(instance: number): string {
  return Bun.randomUUIDv7().slice(0, -2) + instance.toString(16).padStart(2, "0");
}
