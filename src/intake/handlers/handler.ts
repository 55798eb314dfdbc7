import type { JobCounters, JobHeader, JobStatus, Priority } from "../../jobs/job.ts";
import type { TaskSpec } from "../../jobs/task.ts";
import type { Violation } from "../intake-error.ts";
import type { JobStorage } from "../job-storage.ts";
import type { Manifest } from "../manifest/manifest-schema.ts";

/** The configuration of one handler: `[handlers.NAME]`. */
export interface HandlerSettings {
  readonly bucket?: string;
  /** `proxy.primary`: the pool of resources that name no pool. */
  readonly proxyPool?: string;
  /** Headers of every request; a resource's own header of the same name takes precedence. They contain no secrets. */
  readonly defaultHeaders: Readonly<Record<string, string>>;
  readonly rejectHtml?: boolean;
  /** The handler's own table, as configured. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** The job that a handler expands. */
export interface JobContext {
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  readonly traceId: string;
  readonly priority: Priority;
  /** Place of tasks without a bucket or a key of their own: `{resourceKeyPrefix}{resourceId}`. */
  readonly storage: JobStorage;
  readonly handler: HandlerSettings;
}

/** The outcome of a job. */
export interface JobReport {
  readonly job: Omit<JobHeader, "seq">;
  readonly status: JobStatus;
  readonly counters: JobCounters;
  readonly bytesStored: number;
  /** Milliseconds since the epoch. */
  readonly completedAt: number;
  /** The first 100 failures. */
  readonly errors: readonly {
    readonly resourceId: string;
    readonly code: string;
    readonly message: string;
    readonly attempts: number;
  }[];
}

/** A handler as users write it. */
export interface JobHandler {
  /** Checks and normalizes the manifest of one job. Throw ManifestError to refuse it (400). */
  prepare(manifest: Manifest, context: JobContext): Manifest | Promise<Manifest>;
  /** Expands the manifest into download tasks; may be lazy. */
  buildTasks(manifest: Manifest, context: JobContext): Iterable<TaskSpec> | AsyncIterable<TaskSpec>;
  /** Called at most once, when the job is terminal. An error is logged and changes nothing. */
  finalize?(report: JobReport): void | Promise<void>;
}

/** A handler as the intake uses it, in a thread or not. */
export interface HandlerRunner {
  /** True for FetchBox's own handler: its tasks come from the manifest and the configuration, which were checked. */
  readonly isOwn?: true;
  /** The tasks of a job in batches, unchecked. @throws the handler's error */
  tasks(manifest: Manifest, context: JobContext): Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>;
  /** @throws the handler's error */
  finalize?(report: JobReport): Promise<void>;
  /** Ends the handler's threads, also during a job. */
  close(): void;
}

/** The error that a handler throws to refuse a manifest. Message and details are served to the client as they are. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
  readonly details: readonly Violation[];

  constructor(message: string, details: readonly Violation[] = []) {
    super(message);
    this.details = details;
  }
}
