import { expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { inspectStores } from "../../src/sqlite/file/inspect.ts";
import { ReadSource, readSteadily } from "../../src/sqlite/file/read-only.ts";
import { LiveStores } from "../../src/verify/live-stores.ts";
import { acceptance } from "../support/sample-jobs.ts";
import { openTestStores, type StoreName, type TestStores } from "../support/stores.ts";

const STORES: readonly StoreName[] = ["queue", "ledger", "dlq"];

function pathsOf(stores: TestStores): Record<StoreName, string> {
  return { queue: stores.path("queue"), ledger: stores.path("ledger"), dlq: stores.path("dlq") };
}

function removeSidecars(stores: TestStores, ...suffixes: string[]): void {
  for (const store of STORES) for (const suffix of suffixes) rmSync(stores.path(store) + suffix);
}

function jobsIn(source: ReadSource): number {
  using open = new DisposableStack();
  const db = open.adopt(source.open(), (opened) => opened.close());
  return db.query<{ n: number }, []>("SELECT count(*) AS n FROM jobs").get()?.n ?? -1;
}

async function accept(stores: TestStores): Promise<string> {
  const wanted = acceptance();
  await stores.now(stores.queue.acceptor.accept(wanted));
  return wanted.job.jobId;
}

test("a store whose log has no index is read with its log, and no copy stays", async () => {
  await using stores = openTestStores();
  await accept(stores);
  const [log, index] = [`${stores.path("queue")}-wal`, `${stores.path("queue")}-shm`];
  using source = new ReadSource(stores.path("queue"));
  expect(jobsIn(source)).toBe(1);
  expect(source.isStale).toBe(false);
  await accept(stores);
  expect(jobsIn(source)).toBe(2);

  rmSync(index);
  using copied = new ReadSource(stores.path("queue"));
  expect(jobsIn(copied)).toBe(2);
  using owned = new ReadSource(stores.path("queue"), true);
  expect(jobsIn(owned)).toBe(2);
  owned[Symbol.dispose]();
  expect(readdirSync(stores.folder)).not.toContain("queue.db-shm");
  expect(copied.isStale).toBe(false);
  rmSync(log);
  expect(copied.isStale).toBe(true);
  const copy = fileURLToPath(copied.uri);
  expect(existsSync(copy)).toBe(true);
  copied[Symbol.dispose]();
  expect(existsSync(dirname(copy))).toBe(false);
});

test("a read is repeated if a writer starts meanwhile", async () => {
  await using stores = openTestStores();
  await accept(stores);
  stores.close();
  removeSidecars(stores, "-wal", "-shm");
  const seen: number[] = [];
  const read = ([source]: readonly ReadSource[]) => {
    if (seen.length === 0) {
      stores.open();
      stores.tamper("queue", "UPDATE jobs SET tenant = 'changed'; DELETE FROM jobs; PRAGMA wal_checkpoint(TRUNCATE)");
    }
    seen.push(source === undefined ? -1 : jobsIn(source));
    if (seen.length === 1) throw new Error("what is half of one time and half of another can look damaged");
    return seen.at(-1);
  };
  expect(readSteadily([stores.path("queue")], read)).toBe(0);
  expect(seen.length).toBe(2);
});

test("an error of an undisturbed read is thrown at once", async () => {
  await using stores = openTestStores();
  stores.close();
  let reads = 0;
  const read = () => {
    reads++;
    throw new Error("damaged");
  };
  expect(() => readSteadily([stores.path("queue")], read)).toThrow("damaged");
  expect(reads).toBe(1);
});

test("the live stores of a check follow a service that starts meanwhile", async () => {
  await using stores = openTestStores();
  const early = await accept(stores);
  stores.close();
  removeSidecars(stores, "-wal", "-shm");
  using live = new LiveStores(pathsOf(stores));
  expect(live.hasJob(early)).toBe(true);
  stores.open();
  const late = await accept(stores);
  expect(live.hasJob(late)).toBe(true);
  expect(live.isAtWork(late)).toBe(true);
});

test("stores at work, whose projections lag behind and whose log is written to, are not refused", async () => {
  await using stores = openTestStores();
  for (let i = 0; i < 50; i++) {
    const accepted = stores.queue.acceptor.accept(acceptance());
    stores.queue.flush();
    inspectStores(pathsOf(stores));
    await accepted;
    stores.stores.outbox.deliver();
    if (i % 10 === 0) stores.stores.outbox.trim();
    inspectStores(pathsOf(stores));
  }
});
