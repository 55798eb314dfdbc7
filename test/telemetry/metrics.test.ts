import { expect, test } from "bun:test";
import { createMetrics } from "../../src/telemetry/metrics.ts";

const orphans = () => Promise.resolve({ upload: 2, late_upload: 0, late_object: 1 });

function metricsAt(depth = { pending: 0, running: 0, retrying: 0 }) {
  return createMetrics({
    version: "1.2.3",
    queueDepth: () => Promise.resolve(depth),
    dlqSize: () => Promise.resolve(4),
    workersBusy: () => 5,
    orphans,
  });
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
  const depth = { pending: 0, running: 0, retrying: 0 };
  const metrics = createMetrics({
    version: "1",
    queueDepth: () => Promise.resolve(depth),
    workersBusy: () => 0,
    orphans,
  });
  expect(await metrics.scrape()).not.toContain("fetchbox_dlq_size");
});

test("two services in one process count apart", async () => {
  const [one, other] = [metricsAt(), metricsAt()];
  one.jobAccepted("default");
  expect(await other.scrape()).not.toContain('job_type="default"');
});

test("every metric has a help text and a type", async () => {
  const text = await metricsAt().scrape();
  const names = (kind: string) => [...text.matchAll(new RegExp(`^# ${kind} (\\S+) .+$`, "gm"))].map(([, name]) => name);
  expect(names("TYPE")).toEqual(names("HELP"));
  expect(names("TYPE").length).toBe(23);
});
