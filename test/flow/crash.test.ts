import { Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { DeadLetter } from "../support/answers.ts";
import { expectIdle, expectSoundStores, expectTrueBooks } from "../support/books.ts";
import { eventually } from "../support/eventually.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { storagesFor } from "../support/storage.ts";

setDefaultTimeout(60_000);

const MIB = 2 ** 20;

/** Many small resources, each with a body of its own. */
function smallResources(origin: Origin, count: number) {
  const bodies = new Map<string, Uint8Array | undefined>();
  const resources = Array.from({ length: count }, (_, index) => {
    const id = `small/${index}`;
    const body = pattern(500 + index, index + 1);
    bodies.set(id, body);
    return { id, url: origin.serve(`/small/${index}`, body) };
  });
  return { resources, bodies };
}

for (const storage of storagesFor("crashes")) {
  describe(`a service that is killed, on ${storage.name}`, () => {
    const options = {
      settings: { ...storage.settings, "queue.workers": 8 },
      env: storage.env,
    };

    test("does all of a job whose 202 was out and nothing more", async () => {
      await using origin = await startOrigin();
      await using service = await startService(options);
      const { resources, bodies } = smallResources(origin, 60);
      const response = await service.post({ manifest_version: "v1", resources });
      expect(response.status).toBe(202);
      await service.kill();
      const { job_id: jobId } = (await response.json()) as { job_id: string };

      await service.start();
      expect((await service.finished(jobId)).status).toBe("completed");
      await expectTrueBooks(service, storage, jobId, bodies);
      await expectIdle(service);
      expect(await service.stop()).toBe(0);
      expectSoundStores(service);
    });

    test("takes up large downloads that it was in the middle of, and leaves nothing of the first try", async () => {
      await using origin = await startOrigin();
      await using service = await startService(options);
      const { resources, bodies } = smallResources(origin, 12);
      const large = pattern(16 * MIB + 7, 5);
      const held = [
        origin.hold("/known", large, { bytes: 9 * MIB }),
        origin.hold("/unknown", large, { bytes: 11 * MIB, chunked: true }),
        origin.hold("/silent", large),
      ];
      for (const [index, { url }] of held.entries()) {
        resources.push({ id: `large/${index}`, url });
        bodies.set(`large/${index}`, large);
      }
      const jobId = await service.submit({ manifest_version: "v1", resources });
      await Promise.all(held.map(({ reached }) => reached));
      await eventually("the small ones are stored", async () =>
        (await service.job(jobId)).resource_completed === 12 ? true : undefined,
      );
      await eventually("an upload is open", async () =>
        (await storage.leftovers(service, [jobId])).length > 0 ? true : undefined,
      );
      await service.kill();
      expect((await storage.leftovers(service, [jobId])).length).toBeGreaterThan(0);

      for (const hold of held) hold.release();
      await service.start();
      expect((await service.finished(jobId)).status).toBe("completed");
      // An upload whose id was not recorded yet is looked for again once the second try has ended.
      await eventually("the uploads of the first try are gone", async () =>
        (await storage.leftovers(service, [jobId])).length === 0 ? true : undefined,
      );
      await expectTrueBooks(service, storage, jobId, bodies);
      // What was stored before is not fetched again.
      expect(
        resources.filter(({ url }) => url.includes("/small/")).map(({ url }) => origin.hits(new URL(url).pathname)),
      ).toEqual(Array.from({ length: 12 }, () => 1));
      const rows = await service.resources(jobId);
      expect(rows.map(({ attempts }) => attempts)).toEqual(rows.map(() => 1));
      await expectIdle(service);
      expect(await service.stop()).toBe(0);
      expectSoundStores(service);
    });

    test("comes through four kills at work with every resource once", async () => {
      await using origin = await startOrigin();
      await using service = await startService(options);
      const { resources, bodies } = smallResources(origin, 150);
      resources.push({ id: "gone", url: `${origin.url}/gone` });
      bodies.set("gone", undefined);
      const jobId = await service.submit({ manifest_version: "v1", resources });
      for (const hits of [10, 40, 80, 120]) {
        await origin.reached(hits);
        await service.kill();
        await service.start();
      }
      expect((await service.finished(jobId)).status).toBe("partial");
      await expectTrueBooks(service, storage, jobId, bodies);
      await expectIdle(service);
      expect(await service.stop()).toBe(0);
      expectSoundStores(service);
    });

    test("buries a task that was at work in five crashes, and keeps nothing of it", async () => {
      await using origin = await startOrigin();
      await using service = await startService({ ...options, settings: { ...options.settings, "queue.workers": 2 } });
      let asked = Promise.withResolvers<void>();
      const deadly = origin.answer("/deadly", (_request, response) => {
        response.writeHead(200, { "content-length": 20 * MIB }).write(pattern(7 * MIB), () => asked.resolve());
      });
      const good = origin.serve("/good", "good");
      const jobId = await service.submit({ manifest_version: "v1", resources: [{ id: "deadly", url: deadly }] });
      for (let crash = 1; crash <= 5; crash++) {
        await asked.promise;
        asked = Promise.withResolvers();
        await service.kill();
        await service.start();
      }
      const job = await service.finished(jobId);
      expect(job.errors).toMatchObject([{ resource_id: "deadly", code: "TASK_INTERRUPTED" }]);
      const [letter] = await service.pages<DeadLetter>("/operators/dlq?limit=10", "entries");
      const { history } = await service.get<{ history: readonly { code: string; started_at: string }[] }>(
        `/operators/dlq/${letter?.task_id}`,
      );
      expect(history.map(({ code }) => code)).toEqual(Array.from({ length: 5 }, () => "TASK_INTERRUPTED"));
      expect(new Set(history.map(({ started_at }) => started_at)).size).toBe(5);
      await expectTrueBooks(service, storage, jobId, new Map([["deadly", undefined]]));
      const next = await service.submit({ manifest_version: "v1", resources: [{ id: "good", url: good }] });
      expect((await service.finished(next)).status).toBe("completed");
    });
  });
}

/** Tasks that the process has noted, on the disk, as begun. */
function begunTasks(service: Service): number {
  using db = new Database(join(service.folder, "data/queue/queue.db"), { readonly: true });
  const row = db.query<{ count: number }, []>(
    `SELECT count(*) AS count FROM tasks WHERE claim_id IS NOT NULL
     AND id IN (SELECT value FROM json_each((SELECT value FROM meta WHERE name = 'begun')))`,
  );
  return row.get()?.count ?? 0;
}

test("of tasks that run at every crash only the one that causes it is buried: from the third crash on each runs alone", async () => {
  await using origin = await startOrigin();
  await using service = await startService({ settings: { "queue.workers": 8 } });
  let asked = Promise.withResolvers<void>();
  let crashes = 0;
  const deadly = origin.answer("/deadly", () => asked.resolve());
  const innocent = origin.answer("/innocent", (_request, response) => {
    // With others at work it is still at work when the process dies; alone it ends at once. The one before it may count
    // as busy for a moment yet, so one look is not enough. A service that starts asks before it says where it answers.
    if (crashes < 3) return;
    void eventually("it runs alone", async () => {
      const report = await service.get<{ workers: { busy: number } }>("/operators/queue").catch(() => undefined);
      return report?.workers.busy === 1 || response.destroyed || undefined;
    }).then(() => response.end("x"));
  });
  const resources = Array.from({ length: 8 }, (_, i) => ({ id: `r${i}`, url: i === 5 ? deadly : innocent }));
  const job = await service.submit({ manifest_version: "v1", resources });
  while (crashes < 5) {
    await asked.promise;
    const company = crashes < 3 ? 8 : 1;
    await eventually("all that run are noted", () => (begunTasks(service) >= company ? true : undefined));
    asked = Promise.withResolvers();
    await service.kill();
    crashes++;
    await service.start();
  }
  const { status, resource_completed, errors } = await service.finished(job);
  expect([status, resource_completed]).toEqual(["partial", 7]);
  expect(errors).toMatchObject([{ resource_id: "r5", code: "TASK_INTERRUPTED" }]);
  expect(origin.hits("/deadly")).toBe(5);
});
