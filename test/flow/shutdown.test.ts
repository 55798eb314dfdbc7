import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Accepted, errorOf } from "../support/answers.ts";
import { expectIdle, expectSoundStores, expectTrueBooks } from "../support/books.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { storagesFor } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;
const WORKERS = 4;

/** A job of four resources that hang in the middle and twenty that wait behind them. */
async function submitLoad(service: Service, origin: Origin) {
  const large = pattern(9 * MIB, 6);
  const held = Array.from({ length: WORKERS }, (_, index) =>
    origin.hold(`/held/${index}`, large, { bytes: 7 * MIB, chunked: index % 2 === 0 }),
  );
  const heldIds = held.map(({ url }, index) => ({ id: `held/${index}`, url }));
  const url = origin.serve("/small", "small");
  const waiting = Array.from({ length: 20 }, (_, index) => ({ id: `waiting/${index}`, url }));
  const jobId = await service.submit({ manifest_version: "v1", resources: [...heldIds, ...waiting] });
  await Promise.all(held.map(({ reached }) => reached));
  const bodies = new Map<string, Uint8Array | undefined>([
    ...heldIds.map(({ id }) => [id, large] as const),
    ...waiting.map(({ id }) => [id, Buffer.from("small")] as const),
  ]);
  return { jobId, bodies, url, release: () => held.forEach((hold) => hold.release()) };
}

/** Readiness says no as soon as the signal is heard; what hears it is another process. */
async function drained(service: Service): Promise<void> {
  const response = await eventually(
    "readiness says no",
    async () => {
      const answer = await service.fetch("/health/ready");
      return answer.status === 200 ? undefined : answer;
    },
    1000,
  );
  expect(response.status).toBe(503);
  expect((await errorOf(response)).code).toBe("SHUTTING_DOWN");
}

for (const storage of storagesFor("shutdown")) {
  describe(`a service told to stop under load, on ${storage.name}`, () => {
    const options = (graceMs: number) => ({
      settings: { ...storage.settings, "queue.workers": WORKERS, "server.shutdown_grace_ms": graceMs },
      env: storage.env,
    });

    test("takes no more jobs, finishes what runs, and leaves the rest to the next process", async () => {
      await using origin = await startOrigin();
      await using service = await startService(options(30_000));
      const { jobId, bodies, url, release } = await submitLoad(service, origin);
      service.signal("SIGTERM");
      await drained(service);

      const refused = await service.post({ manifest_version: "v1", resources: [{ id: "late", url }] });
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
      expect((await errorOf(refused)).code).toBe("SHUTTING_DOWN");
      // It can still be looked at, and is alive.
      expect((await service.fetch("/health/live")).status).toBe(200);
      expect((await service.job(jobId)).status).toBe("in_progress");
      release();
      expect(await service.ended()).toBe(0);
      expect(origin.hits("/small")).toBe(0);

      await service.start();
      expect((await service.job(jobId)).resource_completed).toBeGreaterThanOrEqual(WORKERS);
      expect((await service.finished(jobId)).status).toBe("completed");
      await expectTrueBooks(service, storage, jobId, bodies);
      expect(origin.hits()).toBe(WORKERS + 20);
      await expectIdle(service);
    });

    test("puts back what does not finish within the grace, at no attempt's cost", async () => {
      await using origin = await startOrigin();
      await using service = await startService({
        ...options(300),
        settings: { ...options(300).settings, "queue.max_retries": 0 },
      });
      const { jobId, bodies, release } = await submitLoad(service, origin);
      const signalledAt = performance.now();
      expect(await service.stop()).toBe(0);
      expect(performance.now() - signalledAt).toBeWithin(250, 3000);
      expect(await storage.leftovers(service, [jobId])).toEqual([]);
      expectSoundStores(service);

      release();
      await service.start();
      expect((await service.finished(jobId)).status).toBe("completed");
      await expectTrueBooks(service, storage, jobId, bodies);
      const rows = await service.resources(jobId);
      expect(rows.map(({ attempts }) => attempts)).toEqual(rows.map(() => 1));
    });

    test("ends at once at a second signal, and the next process does all the same", async () => {
      await using origin = await startOrigin();
      await using service = await startService(options(60_000));
      const { jobId, bodies, release } = await submitLoad(service, origin);
      service.signal("SIGTERM");
      await drained(service);
      const signalledAt = performance.now();
      service.signal("SIGTERM");
      expect(await service.ended()).not.toBe(0);
      expect(performance.now() - signalledAt).toBeLessThan(1000);

      release();
      await service.start();
      expect((await service.finished(jobId)).status).toBe("completed");
      await expectTrueBooks(service, storage, jobId, bodies);
    });
  });
}

test("an idle service stops at once, on SIGINT as on SIGTERM", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    await using service = await startService();
    const signalledAt = performance.now();
    service.signal(signal);
    expect(await service.ended()).toBe(0);
    expect(performance.now() - signalledAt).toBeLessThan(2000);
  }
});

test("a submission that was on its way when the service was told to stop is answered", async () => {
  await using origin = await startOrigin();
  const handler = `export default ({ gate }) => ({
    async prepare(manifest) { await (await fetch(gate)).text(); return manifest; },
    *buildTasks({ resources }) { for (const { id, url } of resources) yield { resourceId: id, url }; },
  });`;
  const gate = origin.hold("/gate", Buffer.from("open"));
  await using service = await startService({
    toml: `[handlers.slow]\nhandler = "slow.ts"\noptions = { gate = "${gate.url}" }\n`,
    files: { "slow.ts": handler },
  });
  const url = origin.serve("/a", "abc");
  const answer = service.post(
    { manifest_version: "v1", resources: [{ id: "a", url }] },
    { "x-fetchbox-job-type": "slow" },
  );
  await gate.reached;
  service.signal("SIGTERM");
  await eventually("nobody else is let in", () =>
    service.fetch("/health/ready").then(
      ({ status }) => (status === 200 ? undefined : true),
      () => true,
    ),
  );
  gate.release();
  expect((await answer).status).toBe(202);
  expect(await service.ended()).toBe(0);
  const jobId = ((await (await answer).json()) as Accepted).job_id;
  await service.start();
  expect((await service.finished(jobId)).status).toBe("completed");
});
