import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIGRATIONS } from "../../src/sqlite/file/migrations.ts";
import { runBinary } from "../support/binary.ts";
import { expectIdle } from "../support/books.ts";
import { ageLedger } from "../support/old-ledger.ts";
import { ageQueue } from "../support/old-queue.ts";
import { startOrigin } from "../support/origin.ts";
import { prepareService, type Service, startService } from "../support/service.ts";

setDefaultTimeout(60_000);

function command(service: Service, ...args: string[]) {
  return runBinary(args, { cwd: service.folder, env: service.env });
}

/** Puts a backup in the place of a service's stores. */
function restore(backup: string, service: Service): void {
  for (const store of ["queue", "ledger", "dlq"]) {
    cpSync(join(backup, store), join(service.folder, "data", store), { recursive: true });
  }
}

describe("a backup", () => {
  test("of a busy service holds every job that was accepted before, and a service goes on from it", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const url = origin.serve("/a", "abc");
    const jobs: string[] = [];
    let busy = true;
    const load = (async () => {
      for (let i = 0; busy; i++) {
        const resources = Array.from({ length: 20 }, (_, n) => ({
          id: `${n}`,
          url: n === 7 ? `${origin.url}/gone` : url,
        }));
        jobs.push(await service.submit({ manifest_version: "v1", resources }, { "idempotency-key": `k${i}` }));
      }
    })();
    await origin.reached(100);
    const before = [...jobs];
    const backups: string[] = [];
    for (let i = 0; i < 3; i++) {
      const taken = await command(service, "backup", `backup-${i}`);
      expect([taken.code, taken.stderr]).toEqual([0, ""]);
      backups.push(join(service.folder, `backup-${i}`));
    }
    busy = false;
    await load;
    for (const job of jobs) await service.finished(job);
    await service.stop();

    for (const backup of backups) {
      await using restored = await prepareService({ settings: { "storage.path": `${service.folder}/data/objects` } });
      restore(backup, restored);
      await restored.start();
      for (const job of before) {
        expect(await restored.finished(job)).toMatchObject({ status: "partial", resource_completed: 19 });
      }
      const listed = await restored.pages<{ job_id: string }>("/operators/jobs?limit=1000", "jobs");
      for (const { job_id } of listed) await restored.finished(job_id);
      await expectIdle(restored);
      const checked = await command(restored, "verify", "--deep");
      expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
      expect(await restored.stop()).toBe(0);
    }
  });

  test("is for its owner alone, says what it holds, and leaves what is there alone", async () => {
    await using service = await startService();
    const taken = await command(service, "backup", "copy");
    expect([taken.code, taken.stdout]).toEqual([0, `${service.folder}/copy: 0 jobs, 0 tasks\n`]);
    for (const [path, mode] of [
      ["copy", 0o700],
      ["copy/queue/queue.db", 0o600],
      ["copy/ledger/ledger.db", 0o600],
      ["copy/dlq/dlq.db", 0o600],
      ["copy/backup.json", 0o600],
    ] as const) {
      expect([path, statSync(join(service.folder, path)).mode & 0o777]).toEqual([path, mode]);
    }
    expect(JSON.parse(readFileSync(join(service.folder, "copy/backup.json"), "utf8"))).toMatchObject({
      jobs: 0,
      tasks: 0,
    });
    const again = await command(service, "backup", "copy");
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining("already exists and is not empty")]);
    mkdirSync(join(service.folder, "empty"));
    expect((await command(service, "backup", "empty")).code).toBe(0);
    expect(readdirSync(service.folder).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("of a store that is missing or damaged is refused, and nothing is left of it", async () => {
    await using service = await startService();
    await service.stop();
    const path = join(service.folder, "data/dlq/dlq.db");
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, 4096).fill(7, 0, 100));
    const damaged = await command(service, "backup", "copy");
    expect([damaged.code, damaged.stderr]).toEqual([3, expect.stringContaining("dlq.db")]);
    expect(existsSync(join(service.folder, "copy"))).toBe(false);
    expect(readdirSync(service.folder).filter((name) => name.includes("partial"))).toEqual([]);
    writeFileSync(path, bytes);
  });

  test.each(["queue", "ledger", "dlq"] as const)(
    "whose %s is restored alone is refused, with the file's name",
    async (store) => {
      await using origin = await startOrigin();
      await using service = await startService();
      const resources = Array.from({ length: 50 }, (_, i) => ({ id: `${i}`, url: `${origin.url}/gone` }));
      const run = async () => service.finished(await service.submit({ manifest_version: "v1", resources }));
      await run();
      expect((await command(service, "backup", "copy")).code).toBe(0);
      await run();
      await service.stop();
      await service.start(); // another epoch
      await run();
      await service.stop();
      const own = readFileSync(join(service.folder, `data/${store}/${store}.db`));
      cpSync(join(service.folder, `copy/${store}/${store}.db`), join(service.folder, `data/${store}/${store}.db`));
      const started = await command(service, "serve");
      expect([started.code, started.stderr]).toEqual([3, expect.stringMatching(/(ledger|dlq)\.db: .*restore/)]);
      writeFileSync(join(service.folder, `data/${store}/${store}.db`), own);
      await service.start();
    },
  );
});

test("stores of the version before are checked and backed up as they are, and the next start upgrades them", async () => {
  await using origin = await startOrigin();
  await using service = await startService();
  const resources = [{ id: "a", url: origin.serve("/a", "abc") }];
  const job = await service.submit({ manifest_version: "v1", resources });
  await service.finished(job);
  await service.stop();
  const ledger = join(service.folder, "data/ledger/ledger.db");
  ageLedger(ledger);
  const queue = join(service.folder, "data/queue/queue.db");
  ageQueue(queue);

  const noteOf = (store: string, newest: number) =>
    `note: ${store} has schema 1; the next start of this version upgrades it to ${newest}\n`;
  const note = noteOf(queue, MIGRATIONS.queue.length) + noteOf(ledger, MIGRATIONS.ledger.length);
  const before = await command(service, "verify", "--deep");
  expect([before.code, before.stdout]).toEqual([0, expect.stringContaining(note)]);
  expect(before.stdout).toContain(": no inconsistencies\n");
  expect((await command(service, "backup", "old")).code).toBe(0);
  expect((await command(service, "verify")).stdout).toContain(note);

  await using restored = await prepareService({ settings: { "storage.path": `${service.folder}/data/objects` } });
  restore(join(service.folder, "old"), restored);
  for (const upgraded of [service, restored]) {
    await upgraded.start();
    expect(await upgraded.resources(job)).toMatchObject([
      { resource_id: "a", state: "completed", content_encoding: null },
    ]);
    const running = await command(upgraded, "verify", "--deep");
    expect([running.code, running.stdout]).toEqual([0, expect.stringContaining(": no inconsistencies\n")]);
    expect(running.stdout).not.toContain("note");
    expect((await command(upgraded, "backup", "new")).code).toBe(0);
    expect(await upgraded.stop()).toBe(0);
  }
});
