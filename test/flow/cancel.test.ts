import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { errorOf } from "../support/answers.ts";
import { runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { storagesFor } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;

function cancel(service: Service, job: string): Promise<Response> {
  return service.fetch(`/operators/jobs/${job}/cancel`, { method: "POST" });
}

/** Downloads that never end of themselves, and whether their connection is still open. */
function endless(origin: Origin, path: string, headers: Record<string, number> = {}) {
  const state = { open: 0, closed: 0 };
  const url = origin.answer(path, (_request, response) => {
    state.open++;
    response.on("close", () => state.closed++);
    response.writeHead(200, headers).write(pattern(9 * MIB, 3));
  });
  return { url, state };
}

for (const storage of storagesFor("cancelling")) {
  describe(`cancelling a job, on ${storage.name},`, () => {
    test("stops what runs within a second and leaves nothing of it; what was stored stays", async () => {
      await using origin = await startOrigin();
      await using service = await startService({
        settings: {
          ...storage.settings,
          "queue.workers": 4,
          "queue.retry_backoff_ms": 60_000,
          "queue.retry_backoff_max_ms": 60_000,
        },
        env: storage.env,
      });
      const known = endless(origin, "/known", { "content-length": 20 * MIB });
      const unknown = endless(origin, "/unknown");
      const resources = [
        { id: "stored", url: origin.serve("/stored", "stored") },
        { id: "gone", url: `${origin.url}/gone` },
        { id: "backoff", url: origin.answer("/backoff", (_request, response) => void response.writeHead(500).end()) },
        { id: "known", url: known.url },
        { id: "unknown", url: unknown.url },
        ...Array.from({ length: 300 }, (_, i) => ({ id: `w${i}`, url: `${known.url}?${i}` })),
      ];
      const job = await service.submit({ manifest_version: "v1", resources });
      await eventually("all is under way", async () => {
        const rows = await service.resources(job);
        const isSo = (id: string, state: string) => rows.some((row) => row.resource_id === id && row.state === state);
        const waits = isSo("stored", "completed") && isSo("gone", "failed") && isSo("backoff", "retrying");
        return waits && known.state.open > 1 && unknown.state.open === 1 ? true : undefined;
      });
      const running = known.state.open + unknown.state.open;
      const before = performance.now();
      const response = await cancel(service, job);
      expect([response.status, ((await response.json()) as { job_id: string }).job_id]).toEqual([202, job]);
      await eventually("connections are closed", () =>
        known.state.closed + unknown.state.closed === running ? true : undefined,
      );
      expect(performance.now() - before).toBeLessThan(5000); // a second, on a machine that has nothing else to do

      expect(await service.finished(job)).toMatchObject({
        status: "cancelled",
        resource_total: 305,
        resource_completed: 1,
        resource_failed: 1,
        resource_cancelled: 303,
      });
      const rows = await service.resources(job);
      expect(rows.filter(({ state }) => state === "cancelled").length).toBe(303);
      expect(await storage.keys(service, [`resources/default/${job}/`])).toEqual([`resources/default/${job}/stored`]);
      expect(await storage.leftovers(service, [job])).toEqual([]);
      expect(known.state.open + unknown.state.open).toBe(running);
      const again = await cancel(service, job);
      expect([again.status, (await errorOf(again)).code]).toEqual([409, "JOB_FINISHED"]);
      const checked = await runBinary(["verify"], { cwd: service.folder, env: service.env });
      expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
    });
  });
}

test("a cancel that was answered holds, though the process is killed at once", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 2 } });
  const { url } = endless(origin, "/endless");
  const resources = Array.from({ length: 3000 / 3 }, (_, i) => ({ id: `${i}`, url: `${url}?${i}` }));
  const job = await service.submit({ manifest_version: "v1", resources });
  await origin.reached(2);
  expect((await cancel(service, job)).status).toBe(202);
  await service.kill();
  await service.start();
  expect(await service.finished(job)).toMatchObject({ status: "cancelled", resource_cancelled: 1000 });
  expect(origin.hits()).toBe(2);
});

test("a job that is not there is none, and one that has ended is over", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const unknown = await cancel(service, Bun.randomUUIDv7());
  expect([unknown.status, (await errorOf(unknown)).code]).toEqual([404, "JOB_NOT_FOUND"]);
  const resources = [{ id: "a", url: origin.serve("/a", "a") }];
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.finished(job);
  expect((await cancel(service, job)).status).toBe(409);
  expect((await service.job(job)).status).toBe("completed");
});
