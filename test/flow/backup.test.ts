import { Database } from "bun:sqlite";
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

async function metricsOf(service: Service): Promise<string> {
  return (await service.fetch("/metrics")).text();
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

  test("leaves its time where the metrics show it, also after a restore", async () => {
    const startedAt = Date.now();
    await using service = await startService();
    const shown = async (of: Service) => {
      const [, value] = /^fetchbox_last_backup_timestamp_seconds (\S+)$/m.exec(await metricsOf(of)) ?? [];
      return Number(value) * 1000;
    };
    const withoutBackup = await shown(service);
    expect(withoutBackup).toBeGreaterThanOrEqual(startedAt);
    expect(withoutBackup).toBeLessThanOrEqual(Date.now());
    const taken = await command(service, "backup", "copy", "--json");
    const { created_at: at } = JSON.parse(taken.stdout) as { created_at: string };
    expect([taken.code, taken.stderr, await shown(service)]).toEqual([0, "", Date.parse(at)]);
    expect(readFileSync(join(service.folder, "data/queue/last-backup"), "utf8")).toBe(`${at}\n`);
    expect(readdirSync(join(service.folder, "data/queue")).filter((name) => name.startsWith("."))).toEqual([]);

    await using restored = await prepareService();
    restore(join(service.folder, "copy"), restored);
    await restored.start();
    expect(await shown(restored)).toBe(Date.parse(at));
  });

  test("is complete even if its time cannot be written down", async () => {
    await using service = await startService();
    mkdirSync(join(service.folder, "data/queue/last-backup/full"), { recursive: true });
    const taken = await command(service, "backup", "copy");
    expect([taken.code, taken.stderr]).toEqual([0, expect.stringContaining("its time cannot be written beside")]);
    expect(existsSync(join(service.folder, "copy/backup.json"))).toBe(true);
    expect(await metricsOf(service)).toMatch(/^fetchbox_last_backup_timestamp_seconds 1\d+/m);
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

/** A stopped service whose stores have the first schema of queue.db and ledger.db. */
async function oldService(): Promise<Service> {
  const service = await startService();
  await service.stop();
  ageLedger(join(service.folder, "data/ledger/ledger.db"));
  ageQueue(join(service.folder, "data/queue/queue.db"));
  return service;
}

function schemaOf(path: string): number {
  using db = new Database(path, { readonly: true });
  return db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? -1;
}

describe("a start that upgrades the stores", () => {
  const NAME = "data/queue/before-upgrade-queue1-ledger1-dlq1";

  test("backs them up first, once, and the backup restores the stores from before", async () => {
    await using service = await oldService();
    await service.start();
    await service.stop();
    const backup = join(service.folder, NAME);
    const [queue, ledger] = [join(backup, "queue/queue.db"), join(backup, "ledger/ledger.db")];
    expect([schemaOf(queue), schemaOf(ledger)]).toEqual([1, 1]);
    expect(schemaOf(join(service.folder, "data/queue/queue.db"))).toBe(MIGRATIONS.queue.length);
    expect(JSON.parse(readFileSync(join(backup, "backup.json"), "utf8"))).toMatchObject({ jobs: 0, tasks: 0 });
    const made = statSync(queue).mtimeMs;
    await service.start();
    await service.stop();
    expect(statSync(queue).mtimeMs).toBe(made);

    await using restored = await prepareService();
    restore(backup, restored);
    await restored.start();
    expect(await restored.stop()).toBe(0);
  });

  test("replaces the backup of an earlier upgrade from the same schemas, and what an interrupted one left", async () => {
    await using service = await oldService();
    const [backup, rest] = [NAME, "data/queue/.before-upgrade-queue1-ledger1-dlq1.partial-abc"].map((name) =>
      join(service.folder, name),
    ) as [string, string];
    for (const folder of [backup, rest]) {
      mkdirSync(folder);
      writeFileSync(join(folder, "older"), "");
    }
    await service.start();
    await service.stop();
    expect(readdirSync(backup).sort()).toEqual(["backup.json", "dlq", "ledger", "queue"]);
    expect(existsSync(rest)).toBe(false);
  });

  test("has this backup also where verify --repair does it", async () => {
    await using origin = await startOrigin();
    await using service = await startService();
    const resources = [{ id: "a", url: origin.serve("/a", "abc") }];
    await service.finished(await service.submit({ manifest_version: "v1", resources }));
    await service.stop();
    const ledger = join(service.folder, "data/ledger/ledger.db");
    ageLedger(ledger);
    ageQueue(join(service.folder, "data/queue/queue.db"));
    {
      using db = new Database(ledger);
      db.run("UPDATE jobs SET bytes = bytes + 1");
    }
    const repaired = await command(service, "verify", "--repair");
    expect([repaired.code, repaired.stdout]).toEqual([
      0,
      expect.stringContaining(`a backup in ${join(service.folder, NAME)}`),
    ]);
    expect(schemaOf(join(service.folder, NAME, "ledger/ledger.db"))).toBe(1);
    expect(schemaOf(ledger)).toBe(MIGRATIONS.ledger.length);
  });

  test("is refused where the backup fails, unless queue.upgrade_backup is off", async () => {
    await using service = await oldService();
    const backup = join(service.folder, NAME);
    writeFileSync(backup, "in the way");
    const refused = await command(service, "serve");
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining(`${backup}: the backup before the upgrade failed: `),
    ]);
    expect(refused.stderr).toContain("set queue.upgrade_backup = false");
    expect(schemaOf(join(service.folder, "data/queue/queue.db"))).toBe(1);
    expect(readdirSync(join(service.folder, "data/queue")).filter((name) => name.includes("partial"))).toEqual([]);

    await using without = await prepareService({ settings: { "queue.upgrade_backup": false } });
    cpSync(join(service.folder, "data"), join(without.folder, "data"), { recursive: true });
    await without.start();
    expect(await without.stop()).toBe(0);
  });
});
