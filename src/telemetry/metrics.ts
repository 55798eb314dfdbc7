// Not the package as a whole, which loads an HTTP client to push with: that takes a tenth of the start.
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import type { FailureCode } from "../jobs/failure.ts";
import type { HealthReport } from "./health.ts";

/** As the queue sorts them: open uploads, and what may yet come. */
export type OrphanSort = "upload" | "late_upload" | "late_object";

interface MetricsDeps {
  readonly version: string;
  /** Read at each scrape, as are the others: cheap, and must not throw. */
  readonly queueDepth: () => Readonly<Record<"pending" | "running" | "retrying", number>>;
  /** Absent: `fetchbox_dlq_size` is not served. */
  readonly dlqSize?: () => number;
  readonly workersBusy: () => number;
  /** What the storage may hold that nobody owns. */
  readonly orphans: () => Readonly<Record<OrphanSort, number>>;
}

/** What was wrong with the token of a request: there was none, or nobody has it. */
const SIGN_IN_FAILURES = ["missing", "unknown"] as const;
export type SignInFailure = (typeof SIGN_IN_FAILURES)[number];

/** What the stages tell. All durations are seconds, all sizes bytes. */
export interface Metrics {
  jobAccepted(jobType: string): void;
  taskCompleted(jobType: string): void;
  taskFailed(jobType: string, code: FailureCode): void;
  taskRetried(code: FailureCode): void;
  downloaded(bytes: number, seconds: number): void;
  uploaded(seconds: number): void;
  /** From the job's acceptance until a worker began with the task. */
  waited(seconds: number): void;
  proxyFailed(pool: string): void;
  /** Rows past their retention; `what` is one of a few names. */
  pruned(what: string, count: number): void;
  /** An upload that was left open is aborted, or an object that came late removed. */
  orphanRemoved(kind: OrphanSort): void;
  /** A try to do so failed. */
  orphanFailed(kind: OrphanSort): void;
  /** A counter of a store was wrong and has been counted anew; its name is one of a few. */
  counterRebuilt(counter: string): void;
  /** A request that needs a token came without a good one. */
  signInFailed(reason: SignInFailure): void;
  /** `route` is a pattern of ours, never a path of a client's. */
  request(route: string, method: string, status: number, seconds: number): void;
  commit(seconds: number): void;
  eventLoopLag(seconds: number): void;
  /** Says how to find out, at each scrape, how the components are. */
  serveHealth(read: () => Pick<HealthReport, "components">): void;
  /** Everything in the Prometheus text format. */
  scrape(): Promise<string>;
  readonly contentType: string;
}

const SHORT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const TRANSFER_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];
const WAIT_SECONDS = [0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400];

/** The service's metrics, in a registry of their own. Observing costs about a microsecond. */
export function createMetrics(deps: MetricsDeps): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers });
  const counter = <T extends string>(name: string, help: string, labelNames: T[]) =>
    labelled(new Counter({ name, help, labelNames, registers }), labelNames);

  const accepted = counter("fetchbox_jobs_accepted_total", "Jobs that were accepted.", ["job_type"]);
  const completed = counter("fetchbox_tasks_completed_total", "Tasks whose object is stored.", ["job_type"]);
  const failed = counter("fetchbox_tasks_failed_total", "Tasks that failed for good.", ["job_type", "code"]);
  const retries = counter("fetchbox_task_retries_total", "Attempts that are followed by another.", ["code"]);
  const proxyFailures = counter("fetchbox_proxy_failures_total", "Failures of proxies themselves.", ["pool"]);
  const orphansRemoved = counter("fetchbox_orphans_removed_total", "Orphans that were removed from the storage.", [
    "kind",
  ]);
  const orphanFailures = counter("fetchbox_orphan_failures_total", "Tries to remove an orphan that failed.", ["kind"]);
  const rebuilt = counter("fetchbox_counters_rebuilt_total", "Counters that were wrong and were counted anew.", [
    "counter",
  ]);
  const signIns = signInCounter(registry);
  const requests = counter("fetchbox_http_requests_total", "Requests that were answered.", [
    "route",
    "method",
    "status",
  ]);
  const prunedRows = new Counter({
    name: "fetchbox_retention_pruned_total",
    help: "What was taken away by age or size.",
    labelNames: ["what"],
    registers,
  });
  const bytes = new Counter({ name: "fetchbox_download_bytes_total", help: "Bytes downloaded.", registers });
  const download = histogram("fetchbox_download_duration_seconds", "Time of one download.", TRANSFER_SECONDS);
  const upload = histogram("fetchbox_upload_duration_seconds", "Time of one upload.", TRANSFER_SECONDS);
  const wait = histogram(
    "fetchbox_task_wait_seconds",
    "Time from a job's acceptance to the start of a task's first attempt.",
    WAIT_SECONDS,
  );
  const request = histogram("fetchbox_http_request_duration_seconds", "Time to answer a request.", REQUEST_SECONDS);
  const commit = histogram("fetchbox_commit_duration_seconds", "Time of one commit of queue.db.", SHORT_SECONDS);
  const lag = histogram("fetchbox_event_loop_lag_seconds", "How late a timer came.", SHORT_SECONDS);
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

function signInCounter(registry: Registry): Counter<"reason"> {
  const failures = new Counter({
    name: "fetchbox_auth_failures_total",
    help: "Requests without a token that is known, where one is needed.",
    labelNames: ["reason"],
    registers: [registry],
  });
  // `increase()` misses the first sample of a series that was not there.
  for (const reason of SIGN_IN_FAILURES) failures.inc({ reason }, 0);
  return failures;
}

/** Counts by label values; the label object of each combination is made once. */
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
    help: "0 where a component is unhealthy, as /operators/health tells with the reason; else 1.",
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
    collect() {
      for (const [state, tasks] of Object.entries(queueDepth())) this.set({ state }, tasks);
    },
  });
  if (dlqSize !== undefined) {
    new Gauge({
      name: "fetchbox_dlq_size",
      help: "Dead letters.",
      registers,
      collect() {
        this.set(dlqSize());
      },
    });
  }
  new Gauge({
    name: "fetchbox_orphans",
    help: "Uploads left open, and objects that may still come, which the service looks for in the storage.",
    labelNames: ["kind"],
    registers,
    collect() {
      for (const [kind, count] of Object.entries(orphans())) this.set({ kind }, count);
    },
  });
  new Gauge({
    name: "fetchbox_worker_busy_count",
    help: "Workers with a task.",
    registers,
    collect() {
      this.set(workersBusy());
    },
  });
  new Gauge({
    name: "fetchbox_build_info",
    help: "1, with the version as a label.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
}
