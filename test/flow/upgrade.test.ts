import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { $ } from "bun";
import about from "../../package.json";
import { MIGRATIONS } from "../../src/sqlite/file/migrations.ts";
import { runBinary } from "../support/binary.ts";
import { prepareService, type Service } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

/** Stores that builds before this one wrote and were killed over: `scripts/make-store-fixture.ts` makes them. */
const FIXTURES = join(import.meta.dir, "../fixtures");
/** Where their objects lay: the ledger holds the URLs. */
const OBJECTS = "/tmp/fetchbox-fixture";

afterEach(() => rmSync(OBJECTS, { recursive: true, force: true }));

type Job = "completed" | "partial" | "cancelled" | "waiting";

async function serviceOf(fixture: string): Promise<Service> {
  const service = await prepareService({
    settings: { ...LOCAL.settings, "storage.path": `${OBJECTS}/objects`, "queue.max_retries": 0 },
  });
  await $`tar -xzf ${join(FIXTURES, fixture)} -C ${service.folder} --no-same-owner`;
  await $`mv ${service.folder}/fetchbox-fixture ${OBJECTS}`;
  return service;
}

async function verified(service: Service): Promise<readonly [number | null, string]> {
  const { code, stdout } = await runBinary(["verify", "--deep"], { cwd: service.folder, env: service.env });
  return [code, stdout];
}

describe.each(readdirSync(FIXTURES).filter((file) => file.startsWith("stores-")))(
  "stores of a build before, %s",
  (fixture) => {
    test("are upgraded at the start: jobs, dead letters and the key are there, what waited is done, verify is content", async () => {
      await using service = await serviceOf(fixture);
      const jobs = JSON.parse(readFileSync(join(service.folder, "data/jobs.json"), "utf8")) as Record<Job, string>;
      await service.start();
      expect(await service.job(jobs.completed)).toMatchObject({
        status: "completed",
        resource_completed: 2,
        resource_total: 2,
      });
      expect(await service.job(jobs.partial)).toMatchObject({
        status: "partial",
        resource_completed: 1,
        resource_failed: 3,
        resource_total: 4,
      });
      expect(await service.job(jobs.cancelled)).toMatchObject({ status: "cancelled", resource_cancelled: 1 });
      expect((await service.resources(jobs.completed)).map(({ state }) => state)).toEqual(["completed", "completed"]);
      expect((await service.logs(jobs.completed)).length).toBeGreaterThan(0);
      const again = await service.post(
        { manifest_version: "v1", metadata: { name: "another" }, resources: [{ id: "x", url: "http://127.0.0.1:9/" }] },
        { "idempotency-key": "fixture-key" },
      );
      expect(again.status).toBe(422);

      const letters = await service.pages<{ resource_id: string; attempts: number }>(
        "/operators/dlq?limit=10",
        "entries",
      );
      expect(letters.map(({ resource_id }) => resource_id).sort()).toEqual(["kept", "replayed"]);

      expect(await service.get("/operators/queue")).toMatchObject({ paused: true });
      await service.fetch("/operators/queue/resume", { method: "POST" });
      expect(await service.finished(jobs.waiting)).toMatchObject({ status: "failed", resource_failed: 3 });
      expect(await service.stop()).toBe(0);
      expect(await verified(service)).toEqual([0, expect.stringMatching(/no (breach|inconsistencies)\n$/)]);
    });
  },
);

/** The rows of the table in docs/operate/upgrading.md: a version, and the schemas of its stores. */
function releases(): { version: string; schemas: number[] }[] {
  const page = readFileSync(join(import.meta.dir, "../../docs/operate/upgrading.md"), "utf8");
  return [...page.matchAll(/^\| (\d+\.\d+\.\d+) \| (\d+) \| (\d+) \| (\d+) \|$/gm)].map(
    ([, version = "", ...schemas]) => ({ version, schemas: schemas.map(Number) }),
  );
}

test("the table of schemas ends with this version, and each version has a fixture of its stores", () => {
  const { queue, ledger, dlq } = MIGRATIONS;
  const schemas = [queue.length, ledger.length, dlq.length];
  expect(releases().at(-1)).toEqual({ version: about.version, schemas });
  const fixtures = readdirSync(FIXTURES);
  for (const { version } of releases()) expect(fixtures).toContain(`stores-${version}.tar.gz`);
});
