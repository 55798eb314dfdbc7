// The whole package loads an HTTP client for pushing, which takes a tenth of the start.
import Counter from "prom-client/lib/counter.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import { FAILURE_CLASSES, type FailureCode } from "../jobs/failure.ts";
import { ORPHAN_SORTS, type OrphanSort } from "../jobs/stores/orphan-records.ts";
import { addGauges, addHealth, addWork, type GaugeReads, type WorkReads } from "./gauges.ts";
import type { HealthReport } from "./health.ts";

interface MetricsDeps extends GaugeReads {
  readonly labels: LabelSets;
}

/** The values of labels that are known at the start. Their counters exist at 0: `increase()` misses a first sample. */
interface LabelSets {
  readonly jobTypes: readonly string[];
  readonly pools: readonly string[];
  /** Names of the rows that retention deletes. */
  readonly pruned: readonly string[];
  /** Names of the stores' counters. */
  readonly counters: readonly string[];
}

/** The statuses of `POST /jobs` that alerts watch. */
const SUBMISSION_STATUSES = ["202", "429", "500", "503", "507"];
/** The codes but those with an HTTP status of an origin, of which there are too many. */
const NAMED_CODES = Object.keys(FAILURE_CLASSES);

/** The fault of a request's token: it is missing or unknown. */
const SIGN_IN_FAILURES = ["missing", "unknown"] as const;
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
  /** Makes the count of such answers exist at 0. */
  expectAnswer(route: string, method: string, status: number): void;
  commit(seconds: number): void;
  eventLoopLag(seconds: number): void;
  /** Registers the function that reads the components' health at each scrape. */
  serveHealth(read: () => Pick<HealthReport, "components">): void;
  /** Registers the functions that read the workers and the hosts at each scrape. */
  serveWork(reads: WorkReads): void;
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
  const counters = createCounters(registry, deps.labels);
  const bytes = new Counter({
    name: "fetchbox_download_bytes_total",
    help: "Bytes downloaded.",
    registers: [registry],
  });
  const { download, upload, wait, request, commit, lag } = createHistograms([registry]);
  addGauges(registry, deps);

  return {
    jobAccepted: (jobType) => counters.accepted([jobType]),
    taskCompleted: (jobType) => counters.completed([jobType]),
    taskFailed: (jobType, code) => counters.failed([jobType, code]),
    taskRetried: (code) => counters.retries([code]),
    proxyFailed: (pool) => counters.proxyFailures([pool]),
    orphanRemoved: (kind) => counters.orphansRemoved([kind]),
    orphanFailed: (kind) => counters.orphanFailures([kind]),
    counterRebuilt: (name) => counters.rebuilt([name]),
    pruned: (what, count) => counters.pruned([what], count),
    downloaded: (size, seconds) => {
      bytes.inc(size);
      download.observe(seconds);
    },
    uploaded: (seconds) => upload.observe(seconds),
    waited: (seconds) => wait.observe(seconds),
    signInFailed: (reason) => counters.signIns([reason]),
    request: (route, method, status, seconds) => {
      counters.requests([route, method, String(status)]);
      request.observe(seconds);
    },
    expectAnswer: (route, method, status) => counters.requests([route, method, String(status)], 0),
    commit: (seconds) => commit.observe(seconds),
    eventLoopLag: (seconds) => lag.observe(seconds),
    serveHealth: (read) => addHealth(registry, read),
    serveWork: (reads) => addWork(registry, reads),
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

/** Every counter with labels, as a function that counts by the labels' values. */
function createCounters(registry: Registry, { jobTypes, pools, pruned, counters }: LabelSets) {
  const counter = <T extends string>(name: string, help: string, labelNames: T[], known: string[][]) =>
    labelled(new Counter({ name, help, labelNames, registers: [registry] }), known);
  const one = (values: readonly string[]) => values.map((value) => [value]);
  return {
    accepted: counter("fetchbox_jobs_accepted_total", "Accepted jobs.", ["job_type"], one(jobTypes)),
    completed: counter("fetchbox_tasks_completed_total", "Tasks with a stored object.", ["job_type"], one(jobTypes)),
    failed: counter(
      "fetchbox_tasks_failed_total",
      "Tasks that became dead letters.",
      ["job_type", "code"],
      jobTypes.flatMap((jobType) => NAMED_CODES.map((code) => [jobType, code])),
    ),
    retries: counter(
      "fetchbox_task_retries_total",
      "Failed attempts that are followed by another attempt.",
      ["code"],
      one(NAMED_CODES),
    ),
    proxyFailures: counter(
      "fetchbox_proxy_failures_total",
      "Failures of the proxies themselves.",
      ["pool"],
      one(pools),
    ),
    orphansRemoved: counter(
      "fetchbox_orphans_removed_total",
      "Orphans removed from the storage.",
      ["kind"],
      one(ORPHAN_SORTS),
    ),
    orphanFailures: counter(
      "fetchbox_orphan_failures_total",
      "Failed attempts to remove an orphan.",
      ["kind"],
      one(ORPHAN_SORTS),
    ),
    rebuilt: counter(
      "fetchbox_counters_rebuilt_total",
      "Wrong counters that were rebuilt.",
      ["counter"],
      one(counters),
    ),
    pruned: counter("fetchbox_retention_pruned_total", "Rows deleted by age or size.", ["what"], one(pruned)),
    signIns: counter(
      "fetchbox_auth_failures_total",
      "Requests without a valid token where one is needed.",
      ["reason"],
      one(SIGN_IN_FAILURES),
    ),
    requests: counter(
      "fetchbox_http_requests_total",
      "Answered requests.",
      ["route", "method", "status"],
      SUBMISSION_STATUSES.map((status) => ["/jobs", "POST", status]),
    ),
  };
}

/**
 * A function that counts by label values; each combination makes its label object once. The combinations in `known`
 * exist at 0.
 */
function labelled<T extends string>(
  counter: Counter<T>,
  known: readonly string[][],
): (values: readonly string[], count?: number) => void {
  const children = new Map<string, ReturnType<Counter<T>["labels"]>>();
  const count = (values: readonly string[], by = 1) => {
    const key = values.join("\0");
    let child = children.get(key);
    if (child === undefined) {
      child = counter.labels(...values);
      children.set(key, child);
    }
    child.inc(by);
  };
  for (const values of known) count(values, 0);
  return count;
}
