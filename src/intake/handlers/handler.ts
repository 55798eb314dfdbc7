import type { JobCounters, JobHeader, JobStatus, Priority } from "../../jobs/job.ts";
import type { TaskSpec } from "../../jobs/task.ts";
import type { Violation } from "../intake-error.ts";
import type { JobStorage } from "../job-storage.ts";
import type { Manifest } from "../manifest/manifest-schema.ts";

/** What the configuration says about one handler: `[handlers.NAME]`. */
export interface HandlerSettings {
  readonly bucket?: string;
  /** `proxy.primary`: the pool of resources that name none. */
  readonly proxyPool?: string;
  /** Sent with every request; a resource's own header of that name wins. None of them holds a secret. */
  readonly defaultHeaders: Readonly<Record<string, string>>;
  readonly rejectHtml?: boolean;
  /** The handler's own table, as configured. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** What a handler knows of the job that it works for. */
export interface JobContext {
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  readonly traceId: string;
  readonly priority: Priority;
  /** Where tasks go that name no bucket or key of their own: `{resourceKeyPrefix}{resourceId}`. */
  readonly storage: JobStorage;
  readonly handler: HandlerSettings;
}

/** How a job ended. */
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

export interface JobHandler {
  /** Checks and normalizes the manifest of one job. Throw ManifestError to refuse it (400). */
  prepare(manifest: Manifest, context: JobContext): Manifest | Promise<Manifest>;
  /** Expands the manifest into download tasks; may be lazy. */
  buildTasks(manifest: Manifest, context: JobContext): Iterable<TaskSpec> | AsyncIterable<TaskSpec>;
  /** Told once when the job is terminal. A failure here is logged and changes nothing. */
  finalize?(report: JobReport): void | Promise<void>;
}

/** A handler as the intake uses it, wherever it runs. */
export interface HandlerRunner {
  /** The program's own: what it yields comes from the manifest and the configuration, which were checked. */
  readonly isOwn?: true;
  /** The tasks of a job in batches, as the handler yields them: nobody has checked them. @throws what it throws */
  tasks(manifest: Manifest, context: JobContext): Iterable<readonly unknown[]> | AsyncIterable<readonly unknown[]>;
  /** @throws what the handler throws */
  finalize?(report: JobReport): Promise<void>;
  /** Ends its threads, also in the middle of a job. */
  close(): void;
}

/** Thrown by a handler to refuse a manifest; message and details are served to the client as they are. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
  readonly details: readonly Violation[];

  constructor(message: string, details: readonly Violation[] = []) {
    super(message);
    this.details = details;
  }
}
