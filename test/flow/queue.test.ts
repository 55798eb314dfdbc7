import { expect, setDefaultTimeout, test } from "bun:test";
import type { QueueReport } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultyS3 } from "../support/faulty-s3.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const report = (service: Service) => service.get<QueueReport>("/operators/queue");

async function switched(service: Service, to: "pause" | "resume"): Promise<QueueReport> {
  const response = await service.fetch(`/operators/queue/${to}`, { method: "POST" });
  expect(response.status).toBe(200);
  return (await response.json()) as QueueReport;
}

test("the queue tells what waits and for whom; a pause lets what runs finish, and outlives the process", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 4, "download.host.max_concurrency": 2 } });
  expect(await report(service)).toEqual({
    pending: 0,
    running: 0,
    retrying: 0,
    paused: false,
    oldest_pending_age_ms: 0,
    workers: { total: 4, busy: 0 },
    hosts: [],
    limited_by: null,
    stored_per_second: 0,
    failed_per_second: 0,
    seconds_left: 0,
    closed_buckets: [],
  });
  const held = origin.hold("/held", new Uint8Array(100));
  const host = new URL(origin.url).host;
  const resources = Array.from({ length: 50 }, (_, i) => ({ id: `${i}`, url: held.url }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await origin.reached(2);
  const busy = await report(service);
  expect([busy.pending, busy.running]).toEqual([48, 2]);
  expect(busy.workers).toEqual({ total: 4, busy: 2 });
  const limits = { limit: 2, closed_for_ms: 0, max_concurrency: 2, rate_per_second: 0 };
  const open = { state: "open", code: null, slowed_ms_ago: null };
  expect(busy.hosts).toEqual([{ host, waiting: 48, running: 2, ...limits, ...open }]);
  expect(busy.limited_by).toEqual({
    cause: "hosts",
    reason: `${host}: download.host.max_concurrency: 2 of 2 downloads run`,
    standstill: false,
  });

  const paused = await switched(service, "pause");
  expect(paused).toMatchObject({ paused: true, pending: 48, running: 2, limited_by: { cause: "paused" } });
  expect(paused.oldest_pending_age_ms).toBeGreaterThanOrEqual(0);
  held.release();
  await eventually("what ran has ended", async () => (await report(service)).running === 0 || undefined);
  await eventually("it is counted", async () => (await service.job(job)).resource_completed === 2 || undefined);
  expect(origin.hits()).toBe(2);
  expect(await service.get("/operators/health")).toMatchObject({
    status: "degraded",
    components: { broker: { status: "degraded", reason: "paused: no download starts until it is resumed" } },
  });
  expect((await service.fetch("/health/ready")).status).toBe(200);

  await service.kill();
  await service.start();
  expect(await report(service)).toMatchObject({ paused: true, pending: 48, running: 0 });
  const more = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url: origin.serve("/a", "a") }] });
  await switched(service, "pause");
  expect(await switched(service, "resume")).toMatchObject({ paused: false });
  expect((await service.finished(job)).resource_completed).toBe(50);
  expect((await service.finished(more)).status).toBe("completed");
  expect((await service.get<{ status: string }>("/operators/health")).status).toBe("healthy");
});

const limitIs = (service: Service, cause: string) =>
  eventually(`the limit is ${cause}`, async () => {
    const queue = await report(service);
    return queue.limited_by?.cause === cause ? queue : undefined;
  });

test("what limits the work is told: the workers' rate, what is done per second, and the time left", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 2, "queue.rate_limit_per_worker": 5 } });
  const url = origin.serve("/a", "a");
  const resources = Array.from({ length: 500 }, (_, i) => ({ id: `${i}`, url }));
  await service.submit({ manifest_version: "v1", resources });
  const limited = await limitIs(service, "rate_limit");
  expect(limited.limited_by?.reason).toBe("queue.rate_limit_per_worker: 2 workers × 5/s = 10/s");
  const queue = await eventually("some are stored", async () => {
    const now = await report(service);
    return now.stored_per_second > 0 ? now : undefined;
  });
  expect(queue.stored_per_second).toBeWithin(1, 30);
  expect(queue.failed_per_second).toBe(0);
  expect(queue.seconds_left).toBeWithin(10, 500);
  // The rate of a moment ago says nothing about a queue that stands.
  await service.fetch("/operators/queue/pause", { method: "POST" });
  expect((await report(service)).seconds_left).toBeNull();
});

test("what limits the work is told: a host's rate, which is no standstill between two downloads", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "download.host.rate_per_second": 5 } });
  const url = origin.serve("/a", "a");
  const resources = Array.from({ length: 400 }, (_, i) => ({ id: `${i}`, url }));
  await service.submit({ manifest_version: "v1", resources });
  await eventually("some are stored", async () => (await report(service)).stored_per_second > 0 || undefined);
  const { host } = new URL(origin.url);
  for (let i = 0; i < 20; i++) {
    const { limited_by, hosts, seconds_left } = await report(service);
    const reason = `${host}: download.host.rate_per_second: 5/s`;
    expect(limited_by).toEqual({ cause: "hosts", reason, standstill: false });
    expect(hosts[0]).toMatchObject({ limit: 64, state: "rate", rate_per_second: 5 });
    expect(seconds_left).toBeWithin(20, 500);
  }
});

test("what limits the work is told: replays at a rate beside a host that is left alone", async () => {
  await using away = await startOrigin();
  await using origin = await startOrigin();
  await using service = await startService();
  const gone = Array.from({ length: 60 }, (_, i) => ({ id: `${i}`, url: `${origin.url}/gone/${i}` }));
  await service.finished(await service.submit({ manifest_version: "v1", resources: gone }));
  const done = await report(service);
  expect([done.failed_per_second, done.seconds_left]).toEqual([0, 0]);
  const url = away.answer("/429", (_request, response) => {
    response.writeHead(429, { "retry-after": "600", "content-length": 0 }).end();
  });
  const resources = Array.from({ length: 5 }, (_, i) => ({ id: `${i}`, url }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await limitIs(service, "hosts");
  const response = await service.fetch("/operators/dlq/replay", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ filter: { code: "DOWNLOAD_HTTP_404" }, rate_per_second: 4 }),
  });
  expect(response.status).toBe(200);
  const { limited_by, seconds_left } = await limitIs(service, "not_due");
  expect(limited_by?.reason).toMatch(/^due times: the first task is due in .*s; [0-9.:]+: it asked for a pause /);
  expect(limited_by?.standstill).toBe(false);
  // At four tasks a second the queue would be empty in 16 seconds, but the tasks of the closed host wait for it.
  expect(seconds_left).toBeWithin(500, 601);
  // With most tasks at the closed host, the rate of the others does not tell when the queue is empty.
  const more = Array.from({ length: 200 }, (_, i) => ({ id: `${i}`, url }));
  const late = await service.submit({ manifest_version: "v1", resources: more });
  await eventually("the time left is unknown although tasks end", async () => {
    const queue = await report(service);
    return (queue.seconds_left === null && queue.failed_per_second > 0) || undefined;
  });
  for (const id of [job, late]) await service.fetch(`/operators/jobs/${id}/cancel`, { method: "POST" });
});

test("what limits the work is told: busy workers, then a host that asked for a pause, until when and why", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 1 } });
  const held = origin.hold("/held", new Uint8Array(10));
  const throttled = origin.answer("/429", (_request, response) => {
    response.writeHead(429, { "retry-after": "600", "content-length": 0 }).end();
  });
  const resources = [held.url, throttled, throttled].map((url, i) => ({ id: `${i}`, url }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await held.reached;
  const busy = await limitIs(service, "workers");
  expect(busy.limited_by?.reason).toBe("queue.workers: 1 of 1 busy");
  held.release();
  const { limited_by, hosts, seconds_left } = await limitIs(service, "hosts");
  const { host } = new URL(origin.url);
  expect(limited_by?.reason).toStartWith(`${host}: it asked for a pause (DOWNLOAD_HTTP_429), over in `);
  expect(hosts[0]).toMatchObject({ host, limit: 0, state: "waiting", code: "DOWNLOAD_HTTP_429", running: 0 });
  expect(hosts[0]?.closed_for_ms).toBeWithin(500_000, 600_001);
  // What was stored before says nothing of how long that takes.
  expect([limited_by?.standstill, seconds_left]).toEqual([true, null]);
  await service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" });
});

test("what limits the work is told: a bucket that cannot be written to, and what the storage says", async () => {
  await using origin = await startOrigin();
  await using s3 = await startFaultyS3();
  const settings = { "storage.backend": "s3", "storage.endpoint": s3.endpoint, "storage.bucket": "fetchbox-artifacts" };
  await using service = await startService({
    settings: { ...settings, "queue.workers": 2 },
    env: { S3_ACCESS_KEY_ID: "key", S3_SECRET_ACCESS_KEY: "secret" },
  });
  const resources = [1, 2, 3].map((i) => ({ id: `${i}`, url: origin.serve(`/${i}`, "abc") }));
  await switched(service, "pause");
  const job = await service.submit({ manifest_version: "v1", resources });
  const body = "<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>";
  s3.faultFor = () => ({ kind: "answer", status: 403, body });
  await switched(service, "resume");
  const { limited_by, closed_buckets } = await limitIs(service, "storage");
  expect(limited_by?.reason).toStartWith("storage: bucket fetchbox-artifacts is closed (UPLOAD_ACCESS_DENIED ");
  expect(closed_buckets).toMatchObject([{ bucket: "fetchbox-artifacts", code: "UPLOAD_ACCESS_DENIED" }]);
  s3.faultFor = () => undefined;
  expect((await service.finished(job)).status).toBe("completed");
  expect((await report(service)).closed_buckets).toEqual([]);
});
