import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIGRATIONS } from "../../src/sqlite/file/migrations.ts";
import { type Ended, runBinary } from "../support/binary.ts";
import { eventually } from "../support/eventually.ts";
import { folderDigest } from "../support/folder-digest.ts";
import { startOrigin } from "../support/origin.ts";
import { pattern } from "../support/pattern.ts";
import { type Service, startService } from "../support/service.ts";
import { makeTemporaryFolder } from "../support/temporary-folder.ts";

setDefaultTimeout(60_000);

const STORES = ["queue", "ledger", "dlq"] as const;
type Store = (typeof STORES)[number];

const fileOf = (store: Store) => join("data", store, `${store}.db`);

/** The folder of a service as it was left, in several ways. */
const left = { stopped: "", killed: "", before: "", another: "" };
let env: Service["env"] = {};
/** Where they were. */
let place = "";

/** A service with a job that is done, one of whose resources failed. */
async function usedService(): Promise<Service> {
  await using origin = await startOrigin();
  const service = await startService({ settings: { "queue.workers": 2 } });
  const resources = [
    { id: "a", url: origin.serve("/a", "abc") },
    { id: "gone", url: `${origin.url}/gone` },
  ];
  await service.finished(await service.submit({ manifest_version: "v1", resources }));
  return service;
}

function keep(service: Service): string {
  const copy = join(makeTemporaryFolder("left"), "service");
  cpSync(service.folder, copy, { recursive: true });
  return copy;
}

/** Events stay in the outbox until they are with the followers durably; a history begins when they leave it. */
async function restart(service: Service): Promise<void> {
  expect(await service.stop()).toBe(0);
  await service.start();
}

beforeAll(async () => {
  await using origin = await startOrigin();
  await using other = await usedService();
  await restart(other);
  expect(await other.stop()).toBe(0);
  left.another = keep(other);

  await using service = await usedService();
  env = service.env;
  place = service.folder;
  await restart(service);
  expect(await service.stop()).toBe(0);
  left.before = keep(service);
  await service.start();
  const urls = Array.from({ length: 20 }, (_, i) => origin.serve(`/${i}`, "x"));
  for (const url of urls) {
    await service.finished(await service.submit({ manifest_version: "v1", resources: [{ id: "a", url }] }));
  }
  const held = origin.hold("/held", pattern(3_000_000, 3), { bytes: 2_000_000 });
  await service.submit({ manifest_version: "v1", resources: [{ id: "held", url: held.url }] });
  await held.reached;
  await service.kill();
  left.killed = keep(service);
  held.release();
  await service.start();
  await eventually("all is done", async () =>
    (await service.get<{ jobs: { status: string }[] }>("/operators/jobs")).jobs.every(
      ({ status }) => status === "completed" || status === "partial",
    )
      ? true
      : undefined,
  );
  expect(await service.stop()).toBe(0);
  left.stopped = keep(service);
});

afterAll(() => {
  if (place !== "") rmSync(place, { recursive: true, force: true });
});

interface Case {
  readonly name: string;
  readonly from: keyof typeof left;
  /** Changes the folder, and returns the file that is to be named. */
  readonly change: (folder: string) => string;
  /** Whether a start works all the same, and the readers may find something to tell. */
  readonly isSound?: true;
}

const none = () => "";

function write(folder: string, store: Store, sql: string): string {
  const db = new Database(join(folder, fileOf(store)));
  db.run(sql);
  db.close();
  return fileOf(store);
}

/** Flips a bit of the log of queue.db. */
function flipInLog(folder: string, part: number): string {
  const log = `${fileOf("queue")}-wal`;
  const bytes = readFileSync(join(folder, log));
  const at = Math.floor(bytes.length * part) + 20;
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  writeFileSync(join(folder, log), bytes);
  return log;
}

function takeFrom(source: string, folder: string, store: Store): string {
  for (const suffix of ["-wal", "-shm"]) rmSync(join(folder, fileOf(store)) + suffix, { force: true });
  copyFileSync(join(source, fileOf(store)), join(folder, fileOf(store)));
  return fileOf(store);
}

const CASES: readonly Case[] = [
  { name: "stores that were stopped", from: "stopped", change: none, isSound: true },
  { name: "stores after a kill", from: "killed", change: none, isSound: true },
  {
    name: "stores after a kill, whose logs have lost their indexes",
    from: "killed",
    change(folder) {
      for (const store of STORES) rmSync(`${join(folder, fileOf(store))}-shm`);
      return "";
    },
    isSound: true,
  },
  {
    name: "stores without logs and indexes",
    from: "stopped",
    change(folder) {
      for (const store of STORES) {
        for (const suffix of ["-wal", "-shm"]) rmSync(join(folder, fileOf(store)) + suffix);
      }
      return "";
    },
    isSound: true,
  },
  ...STORES.flatMap((store): Case[] => [
    {
      name: `${store}.db of length zero, with a log beside it`,
      from: "killed",
      change(folder) {
        expect(statSync(`${join(folder, fileOf(store))}-wal`).size).toBeGreaterThan(0);
        truncateSync(join(folder, fileOf(store)), 0);
        return fileOf(store);
      },
    },
    {
      name: `${store}.db missing`,
      from: "killed",
      change(folder) {
        rmSync(join(folder, fileOf(store)));
        return fileOf(store);
      },
    },
    {
      name: `the folder of ${store}.db missing`,
      from: "stopped",
      change(folder) {
        rmSync(join(folder, "data", store), { recursive: true });
        return fileOf(store);
      },
    },
    {
      name: `${store}.db with damaged pages, and a log beside it`,
      from: "killed",
      change(folder) {
        const file = join(folder, fileOf(store));
        writeFileSync(file, readFileSync(file).fill(0xa5, 4096));
        // The log would put the pages right.
        for (const suffix of ["-wal", "-shm"]) truncateSync(file + suffix, 0);
        return fileOf(store);
      },
    },
    {
      name: `${store}.db from the future`,
      from: "stopped",
      change: (folder) => write(folder, store, `PRAGMA user_version = ${MIGRATIONS[store].length + 1}`),
    },
    {
      name: `${store}.db of another installation`,
      from: "killed",
      change: (folder) => takeFrom(left.another, folder, store),
    },
  ]),
  ...[0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9].map(
    (part): Case => ({
      name: `a bit flipped in the log of queue.db, at ${part} of its length`,
      from: "killed",
      change: (folder) => flipInLog(folder, part),
    }),
  ),
  ...(["ledger", "dlq"] as const).map(
    (store): Case => ({
      name: `${store}.db ahead of queue.db`,
      from: "stopped",
      change: (folder) => write(folder, store, "UPDATE meta SET value = value + 100 WHERE name = 'applied_seq'"),
    }),
  ),
  ...(["ledger", "dlq"] as const).map(
    (store): Case => ({
      name: `${store}.db of an earlier time`,
      from: "stopped",
      change: (folder) => takeFrom(left.before, folder, store),
    }),
  ),
  ...(["ledger", "dlq"] as const).map(
    (store): Case => ({
      name: `${store}.db of another history`,
      from: "stopped",
      change: (folder) => write(folder, store, "UPDATE meta SET value = 'other' WHERE name = 'epoch'"),
    }),
  ),
];

/** Puts a folder as it was left where it was, since objects are named by their whole paths. */
function putBack(from: Case["from"]): void {
  rmSync(place, { recursive: true, force: true });
  cpSync(left[from], place, { recursive: true });
}

test.each(CASES)("$name: no command changes a byte, and all agree", async ({ from, change, isSound }) => {
  putBack(from);
  const named = change(place);
  const before = folderDigest(join(place, "data"));
  const copy = join(place, "backup");
  const commands = [["verify"], ["backup", copy], ...(isSound === true ? [] : [["serve"]])];
  const ended: Ended[] = [];
  for (const command of commands) {
    ended.push(await runBinary(command, { cwd: place, env }));
    // Beside the stores, a backup that succeeds leaves its time.
    const hasTime = command.includes("backup") && isSound === true;
    expect(existsSync(join(place, "data/queue/last-backup"))).toBe(hasTime);
    rmSync(join(place, "data/queue/last-backup"), { force: true });
    expect([command, folderDigest(join(place, "data"))]).toEqual([command, before]);
  }
  expect(ended.map(({ code }) => code)).toEqual(commands.map(() => (isSound === true ? 0 : 3)));
  expect(existsSync(copy)).toBe(isSound === true);
  if (isSound === true) return;
  const [{ stderr } = { stderr: "" }] = ended;
  expect(stderr).toContain(join(place, named));
  for (const other of ended) expect([other.stdout, other.stderr]).toEqual(["", stderr]);
});

describe("what followers lose with their logs is no reason to refuse them, they get it again:", () => {
  const flipped = (at: number) => (log: Buffer) => log.with(at, (log[at] ?? 0) ^ 4);
  test.each<[string, (log: Buffer) => Uint8Array]>([
    ["all behind the header", (log) => log.fill(0xa5, 32)],
    ["a bit of the header's version", flipped(5)],
    ["a bit of its checksum", flipped(25)],
    ["a part of the header", (log) => log.subarray(0, 20)],
  ])("%s", async (_, change) => {
    putBack("killed");
    for (const store of ["ledger", "dlq"] as const) {
      const log = `${join(place, fileOf(store))}-wal`;
      writeFileSync(log, change(readFileSync(log)));
    }
    const before = folderDigest(join(place, "data"));
    const verified = await runBinary(["verify"], { cwd: place, env });
    expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining("unfinished: ")]);
    expect(folderDigest(join(place, "data"))).toEqual(before);
    const repaired = await runBinary(["verify", "--repair"], { cwd: place, env });
    expect([repaired.code, repaired.stdout]).toEqual([0, expect.stringContaining("no inconsistencies")]);
  });
});
