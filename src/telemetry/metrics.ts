// The whole package loads an HTTP client for pushing, which takes a tenth of the start.
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import type { FailureCode } from "../jobs/failure.ts";
import type { HealthReport } from "./health.ts";

/** The kinds of orphans in the queue: open uploads, and late uploads and objects. */
export type OrphanSort = "upload" | "late_upload" | "late_object";

interface MetricsDeps {
  readonly version: string;
  /** Like the other functions, it is called at each scrape, must be cheap and must not throw. */
  readonly queueDepth: () => Promise<Readonly<Record<"pending" | "running" | "retrying", number>>>;
  /** Without it the metrics lack `fetchbox_dlq_size`. */
  readonly dlqSize?: () => Promise<number>;
  readonly workersBusy: () => number;
  /** Uploads and objects in the storage that may belong to no job. */
  readonly orphans: () => Promise<Readonly<Record<OrphanSort, number>>>;
}

/** The fault of a request's token: it is missing or unknown. */
export const SIGN_IN_FAILURES = ["missing", "unknown"] as const;
export type SignInFailure = (typeof SIGN_IN_FAILURES)[number];

/** The metrics that the stages report to. All durations are seconds, all sizes bytes. */
export interface Metrics {
  jobAccepted(jobType: string): void;
  taskCompleted(jobType: string): void;
  taskFailed(jobType: string, code: FailureCode): void;
  taskRetried(code: FailureCode): void;
  downloaded(bytes: number, seconds: number): void;
  uploaded(seconds: number): void;
  /** The time from the job's acceptance to the start of the task's first attempt. */
  waited(seconds: number): void;
  proxyFailed(pool: string): void;
  /** Deleted rows past their retention; `what` is one of a few names. */
  pruned(what: string, count: number): void;
  /** An open upload was aborted, or a late object was removed. */
  orphanRemoved(kind: OrphanSort): void;
  /** An attempt to remove an orphan failed. */
  orphanFailed(kind: OrphanSort): void;
  /** A wrong counter of a store was rebuilt; its name is one of a few. */
  counterRebuilt(counter: string): void;
  /** A request that needs a token had no valid one. */
  signInFailed(reason: SignInFailure): void;
  /** `route` is the pattern of a route, never a client's path. */
  request(route: string, method: string, status: number, seconds: number): void;
  commit(seconds: number): void;
  eventLoopLag(seconds: number): void;
  /** Registers the function that reads the components' health at each scrape. */
  serveHealth(read: () => Pick<HealthReport, "components">): void;
  /** All metrics in the Prometheus text format. */
  scrape(): Promise<string>;
  readonly contentType: string;
}

const SHORT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const TRANSFER_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
const WAIT_SECONDS = [0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];

/** The service's metrics in their own registry. An observation costs about a microsecond. */
export function createMetrics(deps: MetricsDeps): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: T[]) =>
    labelled(new Counter({ name, help, labelNames, registers }), labelNames);

  const accepted = counter("fetchbox_jobs_accepted_total", "Accepted jobs.", ["job_type"]);
  const completed = counter("fetchbox_tasks_completed_total", "Tasks with a stored object.", ["job_type"]);
  const failed = counter("fetchbox_tasks_failed_total", "Tasks that became dead letters.", ["job_type", "code"]);
  const retries = counter("fetchbox_task_retries_total", "Failed attempts that are followed by another attempt.", [
    "code",
  ]);
  const proxyFailures = counter("fetchbox_proxy_failures_total", "Failures of the proxies themselves.", ["pool"]);
  const orphansRemoved = counter("fetchbox_orphans_removed_total", "Orphans removed from the storage.", ["kind"]);
  const orphanFailures = counter("fetchbox_orphan_failures_total", "Failed attempts to remove an orphan.", ["kind"]);
  const rebuilt = counter("fetchbox_counters_rebuilt_total", "Wrong counters that were rebuilt.", ["counter"]);
  const signIns = signInCounter(registry);
  const requests = counter("fetchbox_http_requests_total", "Answered requests.", ["route", "method", "status"]);
  const prunedRows = new Counter({
    name: "fetchbox_retention_pruned_total",
    help: "Rows deleted by age or size.",
    labelNames: ["what"],
    registers,
  });
  const bytes = new Counter({ name: "fetchbox_download_bytes_total", help: "Bytes downloaded.", registers });
  const { download, upload, wait, request, commit, lag } = createHistograms(registers);
  addGauges(registry, deps);

  return {
    jobAccepted: (jobType) => accepted(jobType),
    taskCompleted: (jobType) => completed(jobType),
    taskFailed: (jobType, code) => failed(jobType, code),
    taskRetried: (code) => retries(code),
    proxyFailed: (pool) => proxyFailures(pool),
    orphanRemoved: (kind) => orphansRemoved(kind),
    orphanFailed: (kind) => orphanFailures(kind),
    counterRebuilt: (name) => rebuilt(name),
    pruned: (what, count) => prunedRows.inc({ what }, count),
    downloaded: (size, seconds) => {
      bytes.inc(size);
      download.observe(seconds);
    },
    uploaded: (seconds) => upload.observe(seconds),
    waited: (seconds) => wait.observe(seconds),
    signInFailed: (reason) => signIns.inc({ reason }),
    request: (route, method, status, seconds) => {
      requests(route, method, String(status));
      request.observe(seconds);
    },
    commit: (seconds) => commit.observe(seconds),
    eventLoopLag: (seconds) => lag.observe(seconds),
    serveHealth: (read) => addHealth(registry, read),
    scrape: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function createHistograms(registers: Registry[]) {
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers });
  return {
    download: histogram("fetchbox_download_duration_seconds", "Time of one download.", TRANSFER_SECONDS),
    upload: histogram("fetchbox_upload_duration_seconds", "Time of one upload.", TRANSFER_SECONDS),
    wait: histogram(
      "fetchbox_task_wait_seconds",
      "Time from a job's acceptance to the start of a task's first attempt.",
      WAIT_SECONDS,
    ),
    request: histogram("fetchbox_http_request_duration_seconds", "Time from a request to its answer.", REQUEST_SECONDS),
    commit: histogram("fetchbox_commit_duration_seconds", "Time of one commit of queue.db.", SHORT_SECONDS),
    lag: histogram("fetchbox_event_loop_lag_seconds", "Lateness of a timer.", SHORT_SECONDS),
  };
}

function signInCounter(registry: Registry): Counter<"reason"> {
  const failures = new Counter({
    name: "fetchbox_auth_failures_total",
    help: "Requests without a valid token where one is needed.",
    labelNames: ["reason"],
    registers: [registry],
  });
  // `increase()` misses the first sample of a new series.
  for (const reason of SIGN_IN_FAILURES) failures.inc({ reason }, 0);
  return failures;
}

/** A function that counts by label values; each combination makes its label object once. */
function labelled<T extends string>(counter: Counter<T>, names: readonly T[]): (...values: string[]) => void {
  const known = new Map<string, ReturnType<Counter<T>["labels"]>>();
  return (...values) => {
    const key = values.join("\0");
    let child = known.get(key);
    if (child === undefined) {
      child = counter.labels(...values.slice(0, names.length));
      known.set(key, child);
    }
    child.inc();
  };
}

function addHealth(registry: Registry, read: () => Pick<HealthReport, "components">): void {
  new Gauge({
    name: "fetchbox_component_up",
    help: "0 if a component is unhealthy, else 1; /operators/health has the reason.",
    labelNames: ["component"],
    registers: [registry],
    collect() {
      for (const [component, { status }] of Object.entries(read().components)) {
        this.set({ component }, status === "unhealthy" ? 0 : 1);
      }
    },
  });
}

function addGauges(registry: Registry, { version, queueDepth, dlqSize, workersBusy, orphans }: MetricsDeps): void {
  const registers = [registry];
  new Gauge({
    name: "fetchbox_queue_depth",
    help: "Tasks in each state that is not final.",
    labelNames: ["state"],
    registers,
    async collect() {
      for (const [state, tasks] of Object.entries(await queueDepth())) this.set({ state }, tasks);
    },
  });
  if (dlqSize !== undefined) {
    new Gauge({
      name: "fetchbox_dlq_size",
      help: "Dead letters.",
      registers,
      async collect() {
        this.set(await dlqSize());
      },
    });
  }
  new Gauge({
    name: "fetchbox_orphans",
    help: "Open uploads and late objects that the service looks for in the storage.",
    labelNames: ["kind"],
    registers,
    async collect() {
      for (const [kind, count] of Object.entries(await orphans())) this.set({ kind }, count);
    },
  });
  new Gauge({
    name: "fetchbox_worker_busy_count",
    help: "Workers that run a task.",
    registers,
    collect() {
      this.set(workersBusy());
    },
  });
  new Gauge({
    name: "fetchbox_build_info",
    help: "Always 1, with the version as a label.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
}
