import { expect, setDefaultTimeout, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { startOrigin } from "../support/origin.ts";
import { type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

interface QueueReport {
  readonly pending: number;
  readonly running: number;
  readonly retrying: number;
  readonly paused: boolean;
  readonly oldest_pending_age_ms: number;
  readonly workers: { readonly total: number; readonly busy: number };
  readonly hosts: readonly { host: string; waiting: number; running: number; limit: number; closed_for_ms: number }[];
}

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
  });
  const held = origin.hold("/held", new Uint8Array(100));
  const host = new URL(origin.url).host;
  const resources = Array.from({ length: 50 }, (_, i) => ({ id: `${i}`, url: held.url }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await origin.reached(2);
  const busy = await report(service);
  expect([busy.pending, busy.running]).toEqual([48, 2]);
  expect(busy.workers).toEqual({ total: 4, busy: 2 });
  expect(busy.hosts).toEqual([{ host, waiting: 48, running: 2, limit: 2, closed_for_ms: 0 }]);

  const paused = await switched(service, "pause");
  expect(paused).toMatchObject({ paused: true, pending: 48, running: 2 });
  expect(paused.oldest_pending_age_ms).toBeGreaterThanOrEqual(0);
  held.release();
  await eventually("what ran has ended", async () => (await report(service)).running === 0 || undefined);
  await eventually("it is counted", async () => (await service.job(job)).resource_completed === 2 || undefined);
  expect(origin.hits()).toBe(2);
  expect(await service.get("/operators/health")).toMatchObject({
    status: "degraded",
    components: { broker: { status: "degraded", reason: "paused: no download begins until it is resumed" } },
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
