import { expect, setDefaultTimeout, test } from "bun:test";
import type { DeadLetter } from "../support/answers.ts";
import { eventually } from "../support/eventually.ts";
import { startFaultOrigin } from "../support/fault-origin.ts";
import { startOrigin } from "../support/origin.ts";
import { startService } from "../support/service.ts";

setDefaultTimeout(60_000);

const manifest = (...urls: string[]) => ({
  manifest_version: "v1",
  resources: urls.map((url, i) => ({ id: `r${i}`, url })),
});

test("a host that asked to be left alone is left alone by the next process, too, and for every job", async () => {
  await using asking = await startOrigin();
  await using other = await startOrigin();
  await using service = await startService();
  const busy = asking.answer("/busy", (_request, response) => {
    response.writeHead(429, { "retry-after": "600" }).end();
  });
  const first = await service.submit(manifest(busy));
  await eventually("it is throttled", async () => {
    const [row] = await service.resources(first);
    return row?.state === "retrying" ? true : undefined;
  });
  await service.kill();
  await service.start();
  const second = await service.submit(manifest(asking.serve("/a", "a"), other.serve("/b", "b")));
  await eventually("the other host's is stored", async () => {
    const { resource_completed } = await service.job(second);
    return resource_completed === 1 ? true : undefined;
  });
  // A third job goes through in the meantime: nothing is stuck, but the host is not asked.
  const third = await service.submit(manifest(other.serve("/c", "c")));
  expect((await service.finished(third)).status).toBe("completed");
  expect(asking.hits()).toBe(1);
  expect((await service.resources(second)).map(({ state, attempts }) => [state, attempts])).toEqual([
    ["pending", 0],
    ["completed", 1],
  ]);
});

test("what waits too long for a host that no probe reaches becomes a dead letter", async () => {
  const dead = startFaultOrigin({});
  const url = dead.url;
  dead[Symbol.dispose]();
  await using service = await startService({
    settings: { "queue.max_throttle_ms": 1000, "queue.max_retries": 1, "download.host.breaker_failures": 3 },
  });
  const job = await service.submit(manifest(...Array.from({ length: 300 }, (_, i) => `${url}/${i}`)));
  const ended = await service.finished(job, 40_000);
  expect([ended.status, ended.resource_failed]).toEqual(["failed", 300]);
  const letters = await service.pages<DeadLetter>("/operators/dlq?limit=1000", "entries");
  expect(letters.length).toBe(300);
  const unavailable = letters.filter(({ failure_code }) => failure_code === "DOWNLOAD_HOST_UNAVAILABLE");
  expect(unavailable.length).toBeGreaterThan(250);
  expect(unavailable[0]?.failure_message).toMatch(/ has not answered for \d+ s; queue\.max_throttle_ms is over$/);
  expect(unavailable.filter(({ attempts }) => attempts === 0).length).toBeGreaterThan(200);
});

test("a small job to one host does not wait for a hundred thousand tasks of another", async () => {
  await using slow = await startOrigin();
  await using quick = await startOrigin();
  const COUNT = 100_000;
  await using service = await startService({
    settings: {
      "queue.workers": 8,
      "download.host.max_concurrency": 4,
      "api.max_resources_per_manifest": COUNT,
      "api.max_payload_bytes": "64MiB",
      "server.shutdown_grace_ms": 0,
    },
  });
  const held = slow.hold("/slow", new Uint8Array(10));
  const large = await service.submit(manifest(...Array<string>(COUNT).fill(held.url)));
  await slow.reached(4);
  const urls = Array.from({ length: 10 }, (_, i) => quick.serve(`/${i}`, "quick"));
  const alone = await service.submit(manifest(...urls));
  expect((await service.finished(alone, 10_000)).status).toBe("completed");
  expect(slow.hits()).toBe(4);
  expect((await service.job(large)).resource_completed).toBe(0);
  held.release();
  await eventually("the large job goes on", async () =>
    (await service.job(large)).resource_completed > 100 ? true : undefined,
  );
  // In the middle of it, too.
  const between = await service.submit(manifest(...urls));
  expect((await service.finished(between, 10_000)).status).toBe("completed");
  expect((await service.job(large)).status).toBe("in_progress");
});
