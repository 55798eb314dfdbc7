/** The types for handlers: copy this file beside your handler. `docs/guide/handlers.md` explains them. */

export type Priority = "low" | "normal" | "high";

/** A checked resource of a manifest. */
export interface Resource {
  id: string;
  url: string;
  headers?: { [name: string]: string };
  tags?: { [name: string]: string };
  checksum?: string;
  size?: number;
  content_type?: string;
  reject_html?: boolean;
  proxy_pool?: string;
}

/** A checked manifest of `POST /jobs`. */
export interface Manifest {
  manifest_version: "v1";
  storage?: {
    bucket?: string;
    resource_key_prefix?: string;
    manifest_file?: string;
    metadata?: { [name: string]: string };
    tags?: { [name: string]: string };
    class?: string;
  };
  metadata?: Record<string, unknown>;
  attributes?: { priority?: Priority };
  resources: Resource[];
}

export interface JobContext {
  readonly jobId: string;
  readonly jobType: string;
  readonly tenant: string;
  /** 32 hex digits (W3C trace context). */
  readonly traceId: string;
  readonly priority: Priority;
  /** The bucket and key prefix of tasks that name none: their key is `{resourceKeyPrefix}{resourceId}`. */
  readonly storage: {
    readonly bucket: string;
    readonly resourceKeyPrefix: string;
    readonly manifest: { readonly bucket: string; readonly key: string };
    /** The manifest's attributes, which S3 keeps with the objects of its resources. */
    readonly attributes?: {
      readonly metadata?: Readonly<Record<string, string>>;
      readonly tags?: Readonly<Record<string, string>>;
      readonly class?: string;
    };
  };
  /** `[handlers.NAME]` */
  readonly handler: {
    readonly bucket?: string;
    readonly proxyPool?: string;
    /** The headers without a secret. FetchBox adds the others to requests to the hosts of `default_headers_for`. */
    readonly defaultHeaders: Readonly<Record<string, string>>;
    readonly rejectHtml?: boolean;
    readonly options: Readonly<Record<string, unknown>>;
  };
}

/** One download. */
export interface TaskSpec {
  /** Unique in the job. */
  readonly resourceId: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
  /** `sha256:`, `sha1:` or `md5:` and hex. */
  readonly checksum?: string;
  /** Bytes. */
  readonly size?: number;
  /** A media type; `*` is allowed in either half. */
  readonly contentType?: string;
  readonly rejectHtml?: boolean;
  /** A pool of `[proxies]`. */
  readonly proxyPool?: string;
  /** The bucket and key of the object; unique in the job. */
  readonly bucket?: string;
  readonly key?: string;
}

/** The result of a job. */
export interface JobReport {
  readonly job: { readonly jobId: string; readonly jobType: string; readonly tenant: string };
  readonly status: "queued" | "in_progress" | "completed" | "partial" | "failed" | "cancelled";
  readonly counters: {
    readonly total: number;
    readonly completed: number;
    readonly failed: number;
    readonly cancelled: number;
  };
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
  /** Checks and changes the manifest. An Error named "ManifestError" with `details` rejects it (400). */
  prepare(manifest: Manifest, context: JobContext): Manifest | Promise<Manifest>;
  /** Makes the downloads, perhaps lazily. */
  buildTasks(manifest: Manifest, context: JobContext): Iterable<TaskSpec> | AsyncIterable<TaskSpec>;
  /** Called once at the end of the job. */
  finalize?(report: JobReport): void | Promise<void>;
}

/** The default export of a handler's file: a handler, or a function that makes one of the options of `[handlers.NAME]`. */
export type HandlerExport =
  | JobHandler
  | ((options: Readonly<Record<string, unknown>>) => JobHandler | Promise<JobHandler>);
