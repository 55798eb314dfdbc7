import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { DiskName, DiskUse } from "../../src/telemetry/gauges.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { HEALTHY } from "../api/running-api.ts";

const HOSTS = { open: 1, slowed: 0, rate: 0, waiting: 0, breaker: 3, probing: 0 };
const orphans = () => ({ upload: 2, late_upload: 0, late_object: 1 });

const DISKS = new Map<DiskName, DiskUse>([
  ["queue", { bytes: 100, device: 1, freeBytes: 5000, totalBytes: 9000 }],
  ["ledger", { bytes: undefined, device: 2, freeBytes: 7000, totalBytes: 9000 }],
]);
const READS = {
  version: "1.2.3",
  queueDepth: () => ({ pending: 0, running: 0, retrying: 0 }),
  workersBusy: () => 5,
  orphans,
  isPaused: () => true,
  oldestDueMs: () => 2500,
  disks: async () => DISKS,
  lastBackupAt: async () => 1_795_000_000_500,
  labels: {
    jobTypes: ["default", "gallery"],
    pools: ["eu"],
    pruned: ["dead_letters"],
    counters: ["jobs"],
  },
} satisfies Parameters<typeof createMetrics>[0];

function metricsAt(depth = READS.queueDepth()) {
  return createMetrics({ ...READS, queueDepth: () => depth, dlqSize: () => 4 });
}

/** Name and labels to value. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

test("every metric of the specification is there, with its labels", async () => {
  const metrics = metricsAt();
  metrics.jobAccepted("default");
  metrics.taskCompleted("default");
  metrics.taskCompleted("default");
  metrics.taskCompleted("gallery");
  metrics.taskFailed("default", "DOWNLOAD_HTTP_404");
  const samples = samplesOf(await metrics.scrape());
  expect(samples.get('fetchbox_jobs_accepted_total{job_type="default"}')).toBe(1);
  expect(samples.get('fetchbox_tasks_completed_total{job_type="default"}')).toBe(2);
  expect(samples.get('fetchbox_tasks_completed_total{job_type="gallery"}')).toBe(1);
  expect(samples.get('fetchbox_tasks_failed_total{job_type="default",code="DOWNLOAD_HTTP_404"}')).toBe(1);
  expect(samples.get('fetchbox_orphans{kind="upload"}')).toBe(2);
  expect(samples.get("fetchbox_dlq_size")).toBe(4);
  expect(samples.get("fetchbox_worker_busy_count")).toBe(5);
  expect(samples.get('fetchbox_build_info{version="1.2.3"}')).toBe(1);
});

test("what is told is counted and measured", async () => {
  const metrics = metricsAt();
  metrics.taskRetried("DOWNLOAD_TIMEOUT");
  metrics.proxyFailed("pool");
  metrics.downloaded(1000, 0.2);
  metrics.downloaded(500, 20);
  metrics.uploaded(0.3);
  metrics.waited(2);
  metrics.commit(0.004);
  metrics.eventLoopLag(0.02);
  metrics.request("/jobs", "POST", 202, 0.01);
  metrics.orphanRemoved("late_object");
  metrics.orphanFailed("upload");
  const samples = samplesOf(await metrics.scrape());
  expect(samples.get('fetchbox_task_retries_total{code="DOWNLOAD_TIMEOUT"}')).toBe(1);
  expect(samples.get('fetchbox_proxy_failures_total{pool="pool"}')).toBe(1);
  expect(samples.get('fetchbox_orphans_removed_total{kind="late_object"}')).toBe(1);
  expect(samples.get('fetchbox_orphan_failures_total{kind="upload"}')).toBe(1);
  expect(samples.get("fetchbox_download_bytes_total")).toBe(1500);
  expect(samples.get("fetchbox_download_duration_seconds_sum")).toBe(20.2);
  expect(samples.get('fetchbox_download_duration_seconds_bucket{le="0.25"}')).toBe(1);
  expect(samples.get('fetchbox_http_requests_total{route="/jobs",method="POST",status="202"}')).toBe(1);
  for (const name of ["upload_duration", "task_wait", "commit_duration", "event_loop_lag", "http_request_duration"]) {
    expect([name, samples.get(`fetchbox_${name}_seconds_count`)]).toEqual([name, 1]);
  }
});

test("the pause, the oldest task, the workers, the hosts, the disks and the last backup are shown", async () => {
  const metrics = metricsAt();
  metrics.serveWork({ workers: 8, hosts: () => HOSTS });
  const samples = samplesOf(await metrics.scrape());
  expect(samples.get("fetchbox_paused")).toBe(1);
  expect(samples.get("fetchbox_oldest_due_seconds")).toBe(2.5);
  expect(samples.get("fetchbox_worker_count")).toBe(8);
  expect(samples.get('fetchbox_hosts{state="breaker"}')).toBe(3);
  expect(samples.get('fetchbox_store_bytes{store="queue"}')).toBe(100);
  expect(samples.has('fetchbox_store_bytes{store="ledger"}')).toBe(false);
  expect(samples.get('fetchbox_disk_free_bytes{store="ledger"}')).toBe(7000);
  expect(samples.get("fetchbox_last_backup_timestamp_seconds")).toBe(1_795_000_000.5);
});

test("a figure that is no longer known has no sample", async () => {
  let disks = DISKS;
  const metrics = createMetrics({ ...READS, disks: async () => disks });
  expect(await metrics.scrape()).toContain("fetchbox_store_bytes{");
  disks = new Map();
  expect(await metrics.scrape()).not.toContain("fetchbox_store_bytes{");
});

test("counters exist at 0 before the first event, wherever their labels are known", async () => {
  const samples = samplesOf(await metricsAt().scrape());
  const expected = [
    'fetchbox_jobs_accepted_total{job_type="gallery"}',
    'fetchbox_tasks_completed_total{job_type="gallery"}',
    'fetchbox_tasks_failed_total{job_type="gallery",code="TASK_INTERRUPTED"}',
    'fetchbox_task_retries_total{code="UPLOAD_UNAVAILABLE"}',
    'fetchbox_proxy_failures_total{pool="eu"}',
    'fetchbox_orphans_removed_total{kind="late_upload"}',
    'fetchbox_orphan_failures_total{kind="late_upload"}',
    'fetchbox_counters_rebuilt_total{counter="jobs"}',
    'fetchbox_retention_pruned_total{what="dead_letters"}',
    'fetchbox_auth_failures_total{reason="unknown"}',
    'fetchbox_http_requests_total{route="/jobs",method="POST",status="507"}',
    "fetchbox_download_bytes_total",
  ];
  expect(expected.filter((sample) => samples.get(sample) !== 0)).toEqual([]);
});

test("figures of the process itself are right", async () => {
  const metrics = metricsAt();
  const before = samplesOf(await metrics.scrape());
  const figure = (name: string, samples = before) => samples.get(`process_${name}`) ?? Number.NaN;
  expect(Math.abs(figure("start_time_seconds") - (Date.now() / 1000 - process.uptime()))).toBeLessThan(2);
  expect(figure("resident_memory_bytes")).toBeGreaterThan(10e6);
  const until = process.cpuUsage().user + 50_000;
  while (process.cpuUsage().user < until);
  const after = samplesOf(await metrics.scrape());
  expect(figure("cpu_seconds_total", after) - figure("cpu_seconds_total")).toBeGreaterThan(0.04);
  if (process.platform !== "linux") return;
  expect(Math.abs(figure("open_fds") - readdirSync("/proc/self/fd").length)).toBeLessThan(20);
  expect(figure("max_fds")).toBeGreaterThan(figure("open_fds"));
});

test("gauges are read when they are scraped", async () => {
  const depth = { pending: 1, running: 2, retrying: 3 };
  const metrics = metricsAt(depth);
  await metrics.scrape();
  depth.pending = 9;
  const samples = samplesOf(await metrics.scrape());
  expect([...samples].filter(([name]) => name.startsWith("fetchbox_queue_depth"))).toEqual([
    ['fetchbox_queue_depth{state="pending"}', 9],
    ['fetchbox_queue_depth{state="running"}', 2],
    ['fetchbox_queue_depth{state="retrying"}', 3],
  ]);
});

test("the size of the dead letters can be left out", async () => {
  const metrics = createMetrics(READS);
  expect(await metrics.scrape()).not.toContain("fetchbox_dlq_size");
});

test("two services in one process count apart", async () => {
  const [one, other] = [metricsAt(), metricsAt()];
  one.jobAccepted("default");
  const samples = samplesOf(await other.scrape());
  expect(samples.get('fetchbox_jobs_accepted_total{job_type="default"}')).toBe(0);
});

test("every metric has a help text and a type", async () => {
  const metrics = metricsAt();
  metrics.serveHealth(() => ({ components: HEALTHY.components }));
  metrics.serveWork({ workers: 8, hosts: () => HOSTS });
  const text = await metrics.scrape();
  const names = (kind: string) => [...text.matchAll(new RegExp(`^# ${kind} (\\S+) .+$`, "gm"))].map(([, name]) => name);
  expect(names("TYPE")).toEqual(names("HELP"));
  expect(names("TYPE").length).toBe(40);
});
