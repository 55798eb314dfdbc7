import { constants, Database } from "bun:sqlite";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Glob } from "bun";
import type { Overview } from "../../src/api/openapi/overview-schemas.ts";
import type { DeadLetter, QueueReport } from "../support/answers.ts";
import { runBinary } from "../support/binary.ts";
import { expectTrueBooks } from "../support/books.ts";
import { eventually } from "../support/eventually.ts";
import { ageLedger } from "../support/old-ledger.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { refusal } from "../support/refusal.ts";
import { prepareService, type Service } from "../support/service.ts";
import { LOCAL } from "../support/storage.ts";

// Some of these tests fill a store until it refuses.
setDefaultTimeout(120_000);

const DISKS = [
  ["the storage's", "data/objects"],
  ["the queue's", "data/queue"],
  ["the ledger's", "data/ledger"],
  ["the dead letters'", "data/dlq"],
  ["everybody's", "data"],
] as const;

/** The queue's report says that a disk has no room, and which. */
async function limitedByDisk(service: Service): Promise<void> {
  const limit = await eventually("the limit is the disk", async () => {
    const { limited_by } = await service.get<QueueReport>("/operators/queue");
    return limited_by?.cause === "disk_full" ? limited_by : undefined;
  });
  expect(limit.reason).toMatch(
    /^the full disk of queue\.db \(.*full.*\)$|^storage: bucket .* is closed \(UPLOAD_DISK_FULL /,
  );
}

/** The overview has one critical problem. */
async function oneProblem(service: Service): Promise<void> {
  const critical = await eventually("the overview has a critical problem", async () => {
    const { attention } = await service.get<Overview>("/operators/overview");
    const found = attention.filter(({ severity }) => severity === "critical");
    return found.length > 0 ? found : undefined;
  });
  expect(critical).toHaveLength(1);
  expect(critical[0]?.text).toMatch(/^the disk of .* is full: make room on it, or enlarge it$/);
}

/** The states of the disks of the stores, as the overview shows them. */
async function disksOf(service: Service): Promise<(string | null)[]> {
  const { stores } = await service.get<{ stores: { disk: string | null }[] }>("/operators/overview");
  return stores.map(({ disk }) => disk);
}

describe("a full disk", () => {
  for (const [what, place] of DISKS) {
    test(`that is ${what} is answered with 507, and nothing of the job remains; with room again, all goes on`, async () => {
      await using origin = await startOrigin();
      await using service = await prepareService({ settings: LOCAL.settings });
      await using disk = mountSmall(join(service.folder, place));
      if (disk.reason !== undefined) {
        console.warn(`the test of a full disk is left out: ${disk.reason}`);
        return;
      }
      await service.start();
      const body = pattern(3_000_000, 3);
      const held = origin.hold("/held", body, { bytes: 2_000_000 });
      const early = await service.submit({
        manifest_version: "v1",
        resources: [
          { id: "held", url: held.url },
          { id: "gone", url: `${origin.url}/gone` },
        ],
      });
      await held.reached;
      await eventually("the other one has failed", async () => (await service.job(early)).resource_failed || undefined);

      fill(disk.path);
      const url = origin.serve("/a", "abc");
      const accepted = await acceptedUntilRefused(service, url);
      held.release();
      await readsGoOn(service, early);
      await eventually("readiness tells of it", async () =>
        (await service.fetch("/health/ready")).status === 503 ? true : undefined,
      );
      await eventually("the overview marks the disk as full", async () =>
        (await disksOf(service)).includes("full") ? true : undefined,
      );
      await oneProblem(service);
      const isFollowers = place === "data/ledger" || place === "data/dlq";
      if (!isFollowers) await limitedByDisk(service);
      expect((await service.pages<DeadLetter>("/operators/dlq?limit=10", "entries")).length).toBe(1);

      rmSync(join(disk.path, "ballast"));
      expect((await service.finished(early)).status).toBe("partial");
      // Accepted before the ledger's disk was found full, it is read as soon as that has room.
      await eventually("what was accepted is there, and nothing else", async () =>
        (await jobsOf(service)).length === 1 + accepted ? true : undefined,
      );
      for (const { job_id } of await jobsOf(service)) await service.finished(job_id);
      await expectTrueBooks(
        service,
        LOCAL,
        early,
        new Map([
          ["held", body],
          ["gone", undefined],
        ]),
      );
      const row = (await service.resources(early)).find(({ resource_id }) => resource_id === "held");
      expect(row?.attempts).toBe(1);
      await eventually("the service is ready", async () =>
        (await service.fetch("/health/ready")).status === 200 ? true : undefined,
      );
      // The small disk of the test stays low.
      await eventually("the overview marks no disk as full", async () => {
        const disks = await disksOf(service);
        return (!disks.includes("full") && disks.includes("low")) || undefined;
      });
      const late = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
      expect((await service.finished(late)).status).toBe("completed");
      expect(await service.stop()).toBe(0);
    });
  }

  test.each([
    ["storage", "data/objects"],
    ["queue", "data/queue"],
    ["storage", "data"],
  ])("makes a service unready that has nothing to do, until there is room (%s: %s)", async (component, place) => {
    await using origin = await startOrigin();
    await using service = await prepareService({ settings: LOCAL.settings });
    await using disk = mountSmall(join(service.folder, place));
    if (disk.reason !== undefined) {
      console.warn(`the test of an idle service on a full disk is left out: ${disk.reason}`);
      return;
    }
    await service.start();
    const url = origin.serve("/a", "abc");
    const ready = async () => (await service.fetch("/health/ready")).status;
    expect(await ready()).toBe(200);
    fill(disk.path);
    expect(await acceptedUntilRefused(service, url)).toBe(0);
    expect(await ready()).toBe(503);
    expect(await (await service.fetch("/operators/health")).json()).toMatchObject({
      components: { [component]: { status: "unhealthy", reason: expect.stringMatching(/full|space/i) } },
    });
    // Longer than from one trial to the next.
    const until = performance.now() + 2500;
    await eventually("some trials are over", async () => {
      expect(await ready()).toBe(503);
      return performance.now() > until ? true : undefined;
    });

    rmSync(join(disk.path, "ballast"));
    await eventually("the service is ready", async () => ((await ready()) === 200 ? true : undefined));
    const job = await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] });
    expect((await service.finished(job)).status).toBe("completed");
    expect(await service.stop()).toBe(0);
    const objects = [...new Glob("**/*").scanSync({ cwd: join(service.folder, "data/objects"), dot: true })];
    expect(objects.filter((name) => name.includes("fetchbox-check"))).toEqual([]);
  });

  test.each([
    ["killed", "data"],
    ["killed", "data/queue"],
    ["killed", "data/ledger"],
    ["killed", "data/dlq"],
    ["stopped", "data"],
  ] as const)(
    "lets a service that was %s start and be read; it takes no job, and works when %s has room",
    async (end, place) => {
      await using origin = await startOrigin();
      await using service = await prepareService({ settings: LOCAL.settings });
      await using disk = mountSmall(join(service.folder, place));
      if (disk.reason !== undefined) {
        console.warn(`the test of a start on a full disk is left out: ${disk.reason}`);
        return;
      }
      await service.start();
      const url = origin.serve("/a", "abc");
      const early = await service.submit({
        manifest_version: "v1",
        resources: [
          { id: "a", url },
          { id: "gone", url: `${origin.url}/gone` },
        ],
      });
      expect((await service.finished(early)).status).toBe("partial");
      const body = pattern(3_000_000, 3);
      // What lies half written on the same disk is removed at the start, and would give it room.
      const held = origin.hold("/held", body, { bytes: place === "data" ? 0 : 2_000_000 });
      const job = await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
      await held.reached;
      if (end === "killed") {
        fill(disk.path);
        await service.kill();
      } else {
        expect(await service.stop()).toBe(0);
        fill(disk.path);
      }

      await service.start();
      const manifest = { manifest_version: "v1", resources: [{ id: "a", url }] };
      // In the log of a follower there may be some room left, of an earlier round.
      await oneProblem(service);
      const isFollowers = place === "data/ledger" || place === "data/dlq";
      // Both stores write what fails, with its URL.
      if (isFollowers) await acceptedUntilRefused(service, `${origin.url}/gone?${"x".repeat(1500)}`);
      expect(await refusal(await service.post(manifest))).toEqual([507, "DISK_FULL"]);
      if (!isFollowers) {
        const pause = await service.fetch("/operators/queue/pause", { method: "POST" });
        expect(await refusal(pause)).toEqual([507, "DISK_FULL"]);
      }
      await readsGoOn(service, early);
      expect((await service.job(early)).status).toBe("partial");
      expect((await service.pages<DeadLetter>("/operators/dlq?limit=10", "entries")).length).toBeGreaterThan(0);
      expect((await service.fetch("/health/ready")).status).toBe(503);
      const health = await (await service.fetch("/operators/health")).json();
      expect(health).toMatchObject({
        components: {
          [isFollowers ? basename(place) : "queue"]: { status: "unhealthy", reason: expect.stringContaining("full") },
        },
      });
      if (!isFollowers) await limitedByDisk(service);

      rmSync(join(disk.path, "ballast"));
      held.release();
      expect((await service.finished(job)).status).toBe("completed");
      await eventually("the service is ready", async () =>
        (await service.fetch("/health/ready")).status === 200 ? true : undefined,
      );
      for (const { job_id } of await jobsOf(service)) await service.finished(job_id);
      await expectTrueBooks(service, LOCAL, job, new Map([["held", body]]));
      expect((await service.finished(await service.submit(manifest))).status).toBe("completed");
      expect(await service.stop()).toBe(0);
      const checked = await runBinary(["verify", "--deep"], { cwd: service.folder, env: service.env });
      expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining(": no inconsistencies\n")]);
    },
  );

  test("that has no room for a log's index, or for an upgrade, is told with exit 1; the next start works", async () => {
    await using service = await prepareService({ settings: LOCAL.settings });
    await using disk = mountSmall(join(service.folder, "data"));
    if (disk.reason !== undefined) {
      console.warn(`the test of what a start needs room for is left out: ${disk.reason}`);
      return;
    }
    const ledger = join(disk.path, "ledger/ledger.db");
    const removeLog = () => {
      for (const suffix of ["-wal", "-shm"]) rmSync(ledger + suffix);
    };
    const withoutBackup = { FETCHBOX__QUEUE__UPGRADE_BACKUP: "false" };
    for (const [lacksRoom, env, place] of [
      [removeLog, {}, /ledger\.db/],
      [() => ageLedger(ledger), {}, /before-upgrade-\S+/],
      [() => ageLedger(ledger), withoutBackup, /ledger\.db/],
    ] as const) {
      await service.start();
      expect(await service.stop()).toBe(0);
      lacksRoom();
      fill(disk.path);
      const { code, stderr } = await runBinary(["serve"], { cwd: service.folder, env: { ...service.env, ...env } });
      const message = new RegExp(`^fetchbox: \\S+${place.source}: .*the disk is full; make room`);
      expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
      rmSync(join(disk.path, "ballast"));
    }
    await service.start();
    expect(await service.stop()).toBe(0);
  });

  test("that has no room for a repair ends it with exit 1, and verify reads all the same", async () => {
    await using service = await prepareService({ settings: LOCAL.settings });
    await using disk = mountSmall(join(service.folder, "data"));
    if (disk.reason !== undefined) {
      console.warn(`the test of a repair on a full disk is left out: ${disk.reason}`);
      return;
    }
    await service.start();
    await service.kill();
    const db = new Database(join(disk.path, "queue/queue.db"));
    db.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1);
    db.run("UPDATE depth SET tasks = 5; PRAGMA journal_size_limit = 0");
    db.close();
    fill(disk.path);
    const run = (...args: string[]) => runBinary(["verify", ...args], { cwd: service.folder, env: service.env });
    const read = await run();
    expect([read.code, read.stdout]).toEqual([1, expect.stringContaining("inconsistency: the depth is a recount")]);
    const repaired = await run("--repair");
    expect([repaired.code, repaired.stderr]).toEqual([1, expect.stringMatching(/^fetchbox: [^\n]*full[^\n]*\n$/)]);
    rmSync(join(disk.path, "ballast"));
    const again = await run("--repair");
    expect([again.code, again.stdout]).toEqual([0, expect.stringContaining("repaired: depths")]);
  });

  test("lets a service that waits for room end in good order", async () => {
    await using service = await prepareService({ settings: LOCAL.settings });
    await using disk = mountSmall(join(service.folder, "data"));
    if (disk.reason !== undefined) {
      console.warn(`the test of an end on a full disk is left out: ${disk.reason}`);
      return;
    }
    await service.start();
    fill(disk.path);
    await service.kill();
    await service.start();
    expect(await service.stop()).toBe(0);
  });
});

function jobsOf(service: Service): Promise<{ job_id: string }[]> {
  return service.pages("/operators/jobs?limit=100", "jobs");
}

/** Larger jobs than what is left of the pages in use, until one of them is refused. How many were not. */
async function acceptedUntilRefused(service: Service, url: string): Promise<number> {
  const metadata = { text: Buffer.from(pattern(48 * 1024)).toString("base64") };
  const resources = Array.from({ length: 300 }, (_, i) => ({ id: `${i}`, url, tags: { t: "x".repeat(200) } }));
  let accepted = 0;
  const answer = await eventually("a job is refused", async () => {
    const response = await service.post({ manifest_version: "v1", metadata, resources });
    if (response.status !== 202) return refusal(response);
    accepted++;
    return undefined;
  });
  expect(answer).toEqual([507, "DISK_FULL"]);
  return accepted;
}

async function readsGoOn(service: Service, job: string): Promise<void> {
  for (const path of [
    "/operators/jobs",
    `/operators/jobs/${job}`,
    `/operators/jobs/${job}/resources`,
    `/operators/jobs/${job}/logs`,
    "/operators/dlq",
    "/metrics",
    "/health/live",
  ]) {
    expect([path, (await service.fetch(path)).status]).toEqual([path, 200]);
  }
}

/** A file system of 16 MiB, if this process may mount one. */
function mountSmall(path: string): AsyncDisposable & { readonly path: string; readonly reason: string | undefined } {
  mkdirSync(path, { recursive: true });
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", path]);
  const reason =
    mounted.exitCode === 0 ? undefined : `no file system can be mounted: ${mounted.stderr.toString().trim()}`;
  return {
    path,
    reason,
    async [Symbol.asyncDispose]() {
      if (reason === undefined) Bun.spawnSync(["umount", "-l", path]);
    },
  };
}

function fill(path: string): void {
  const { bavail, bsize } = statfsSync(path);
  try {
    writeFileSync(join(path, "ballast"), new Uint8Array(Number(bavail) * Number(bsize)));
  } catch {
    // Somebody else took the last of it.
  }
}
