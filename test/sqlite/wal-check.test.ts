import { describe, expect, test } from "bun:test";
import { copyFileSync, cpSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findWalDamage } from "../../src/sqlite/file/wal-check.ts";
import { acceptance } from "../support/sample-jobs.ts";
import { makeFolder, openTestStores, type TestStores } from "../support/stores.ts";

const FRAME = 24 + 4096;

async function acceptJobs(stores: TestStores, jobs: number): Promise<void> {
  for (let i = 0; i < jobs; i++) await stores.now(stores.queue.acceptor.accept(acceptance(3)));
}

/** A copy of a log at work, which several commits have written to. */
async function logOf(stores: TestStores): Promise<string> {
  await acceptJobs(stores, 6);
  const copy = join(makeFolder(), "queue.db-wal");
  copyFileSync(`${stores.path("queue")}-wal`, copy);
  return copy;
}

function commitFrames(log: string): number[] {
  const bytes = readFileSync(log);
  const frames: number[] = [];
  for (let at = 32; at + FRAME <= bytes.length; at += FRAME) if (bytes.readUInt32BE(at + 4) !== 0) frames.push(at);
  return frames;
}

function flip(log: string, at: number): void {
  const bytes = readFileSync(log);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(log, bytes);
}

describe("a log", () => {
  test("that is whole, empty, or not there has no damage", async () => {
    await using stores = openTestStores();
    const log = await logOf(stores);
    expect(findWalDamage(log)).toBeUndefined();
    expect(findWalDamage(`${log}-none`)).toBeUndefined();
    truncateSync(log, 0);
    expect(findWalDamage(log)).toBeUndefined();
  });

  test("that starts again over an older round has no damage", async () => {
    await using stores = openTestStores();
    await acceptJobs(stores, 8);
    stores.tamper("queue", "PRAGMA wal_checkpoint(RESTART)");
    await acceptJobs(stores, 1);
    expect(findWalDamage(`${stores.path("queue")}-wal`)).toBeUndefined();
  });

  test("whose last commit was never finished has no damage", async () => {
    await using stores = openTestStores();
    const log = await logOf(stores);
    const [first = 0] = commitFrames(log).slice(-1);
    flip(log, first + 100);
    expect(findWalDamage(log)).toBeUndefined();
    truncateSync(log, first + 1000);
    expect(findWalDamage(log)).toBeUndefined();
  });

  test("with a flipped bit before its last commits is damaged, wherever that is", async () => {
    await using stores = openTestStores();
    const log = await logOf(stores);
    const original = readFileSync(log);
    const commits = commitFrames(log);
    for (const at of [0, 17, 24, 32, 36, 40, 44, 48, 56, 4000, (commits.at(-3) ?? 0) + 2000]) {
      writeFileSync(log, original);
      flip(log, at);
      expect([at, findWalDamage(log)]).toEqual([at, expect.stringMatching(/damaged|not the header/)]);
    }
  });
});

test("stores with a damaged log are refused, with the file's name, and left as they are", async () => {
  await using stores = openTestStores();
  await acceptJobs(stores, 6);
  const folder = makeFolder();
  cpSync(stores.folder, folder, { recursive: true });
  stores.close();
  cpSync(folder, stores.folder, { recursive: true, force: true });
  const log = `${stores.path("queue")}-wal`;
  flip(log, 5000);
  const files = ["queue.db", "queue.db-wal", "ledger.db", "ledger.db-wal", "dlq.db"];
  const before = files.map((name) => Bun.hash(readFileSync(join(stores.folder, name))));
  expect(() => stores.open()).toThrow(`${log}: frame`);
  expect(files.map((name) => Bun.hash(readFileSync(join(stores.folder, name))))).toEqual(before);
});
