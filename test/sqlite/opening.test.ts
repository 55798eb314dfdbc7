import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { StoreError } from "../../src/jobs/stores/store-error.ts";
import { openStores } from "../../src/sqlite/stores.ts";
import { systemClock } from "../../src/std/clock.ts";
import { digest, pattern } from "../support/pattern.ts";
import { acceptance, claimedJob, complete, settle } from "../support/sample-jobs.ts";
import { makeFolder, openTestStores, type StoreName, type TestStores } from "../support/stores.ts";

const STORES: readonly StoreName[] = ["queue", "ledger", "dlq"];

/** Every file of a folder with its mode and contents. */
function snapshot(folder: string): string[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => {
      const path = join(folder, name);
      return `${name} ${(statSync(path).mode & 0o777).toString(8)} ${digest(readFileSync(path))}`;
    });
}

/** The error that refuses to open the closed stores; it checks that no file changes. */
function refusal(stores: TestStores): StoreError {
  const before = snapshot(stores.folder);
  try {
    stores.open();
  } catch (error) {
    expect(snapshot(stores.folder)).toEqual(before);
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("the stores opened");
}

function foreignDatabase(path: string): void {
  const db = new Database(path, { create: true });
  db.run("CREATE TABLE songs (title TEXT)");
  db.run("INSERT INTO songs VALUES ('a')");
  db.close();
  chmodSync(path, 0o644);
}

/** Stores with some history, closed; the outbox is trimmed. */
async function closedStores(): Promise<TestStores> {
  const stores = openTestStores();
  const [task] = await claimedJob(stores, 2);
  if (task === undefined) throw new Error("no task was claimed");
  await settle(stores, task, complete);
  stores.stores.outbox.trim();
  stores.close();
  return stores;
}

function openAndClose(paths: { queuePath: string; ledgerPath: string; dlqPath: string }): void {
  openStores({
    ...paths,
    clock: systemClock,
    onLag: () => {},
    onDrift: (counter) => expect.unreachable(counter),
  }).close();
}

describe("new stores", () => {
  test("are files for their owner alone, sidecars included", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance()));
    const modes = Object.fromEntries(
      readdirSync(stores.folder).map((name) => [name, statSync(join(stores.folder, name)).mode & 0o777]),
    );
    expect(Object.keys(modes)).toContain("queue.db-wal");
    expect(Object.entries(modes).filter(([, mode]) => mode !== 0o600)).toEqual([]);
    expect(readdirSync(stores.folder).filter((name) => name.startsWith("fetchbox.lock"))).toEqual(["fetchbox.lock"]);
  });

  test("make their folders, for their owner alone", () => {
    const folder = join(makeFolder(), "a/b");
    using cleanUp = new DisposableStack();
    cleanUp.defer(() => rmSync(join(folder, "../.."), { recursive: true }));
    mkdirSync(join(folder, ".."), { recursive: true });
    const paths = { queuePath: join(folder, "q"), ledgerPath: join(folder, "l"), dlqPath: join(folder, "d") };
    openAndClose(paths);
    expect(statSync(paths.queuePath).mode & 0o777).toBe(0o700);
    openAndClose(paths);
  });

  test("start again after an unfinished creation, and read no log of stores that are gone", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance()));
    const logs = STORES.map((store) => join(stores.folder, `${store}.db-wal`));
    const left = logs.map((path) => [path, readFileSync(path)] as const);
    stores.close();
    for (const store of STORES) {
      rmSync(join(stores.folder, `${store}.db`));
      writeFileSync(join(stores.folder, `${store}.db.new`), "half a store");
    }
    for (const [path, log] of left) writeFileSync(path, log);
    stores.open();
    expect(await stores.stores.ledger.listJobs({}, Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
    expect(readdirSync(stores.folder).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  test("take over what began in their place and has no tables yet, but no folder where a draft belongs", async () => {
    await using stores = openTestStores();
    stores.close();
    for (const store of STORES) {
      const path = join(stores.folder, `${store}.db`);
      rmSync(path);
      const db = new Database(path, { create: true });
      db.run("PRAGMA application_id = 0");
      db.run("PRAGMA journal_mode = WAL");
      db.close();
      expect(statSync(path).size).toBeGreaterThan(0);
    }
    stores.open();
    const ids = STORES.map(
      (store) => stores.read<{ value: string }>(store, "SELECT value FROM meta WHERE name = 'installation'")[0]?.value,
    );
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
    stores.close();
    for (const store of STORES) rmSync(join(stores.folder, `${store}.db`));
    const inside = join(stores.folder, "queue.db.new", "inside");
    mkdirSync(inside, { recursive: true });
    expect(() => stores.open()).toThrow(/queue\.db: cannot be created: .*queue\.db\.new/);
    expect(existsSync(inside)).toBe(true);
    rmSync(join(stores.folder, "queue.db.new"), { recursive: true });
    stores.open();
  });

  test("lie where a link leads, and not in place of one that leads nowhere", async () => {
    await using stores = openTestStores();
    stores.close();
    const elsewhere = makeFolder();
    using cleanUp = new DisposableStack();
    cleanUp.defer(() => rmSync(elsewhere, { recursive: true }));
    for (const store of STORES) rmSync(join(stores.folder, `${store}.db`));
    const link = join(stores.folder, "queue.db");
    symlinkSync(join(elsewhere, "queue.db"), link);
    expect(() => stores.open()).toThrow("is a link to a missing file");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    writeFileSync(join(elsewhere, "queue.db"), "");
    stores.open();
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(join(elsewhere, "queue.db")).size).toBeGreaterThan(0);
    stores.close();
    rmSync(link);
    for (const store of ["ledger", "dlq"]) rmSync(join(stores.folder, `${store}.db`));
    stores.open();
  });

  test("leave nothing in their logs when they are closed, and keep the logs' files for a start on a full disk", async () => {
    await using stores = await closedStores();
    const files = STORES.flatMap((store) => ["", "-wal", "-shm"].map((suffix) => `${store}.db${suffix}`));
    expect(readdirSync(stores.folder).toSorted()).toEqual([...files, "fetchbox.lock"].toSorted());
    for (const store of STORES) expect(statSync(`${stores.path(store)}-wal`).size).toBe(0);
  });

  test("carry one installation id, and other stores another", async () => {
    await using one = openTestStores();
    await using two = openTestStores();
    const idsOf = (stores: TestStores) =>
      STORES.map(
        (store) =>
          stores.read<{ value: string }>(store, "SELECT value FROM meta WHERE name = 'installation'")[0]?.value,
      );
    expect(new Set(idsOf(one)).size).toBe(1);
    expect(idsOf(one)[0]).not.toBe(idsOf(two)[0]);
  });

  test("pass the integrity check", async () => {
    await using stores = openTestStores();
    await claimedJob(stores, 10);
    for (const store of STORES)
      expect(stores.read<unknown>(store, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});

describe("a store is refused, and no file is changed,", () => {
  for (const store of STORES) {
    test(`when ${store}.db has a newer schema`, async () => {
      await using stores = await closedStores();
      stores.tamper(store, "PRAGMA user_version = 99");
      const error = refusal(stores);
      expect(error.path).toBe(stores.path(store));
      expect(error.message).toContain("newer");
    });

    test(`when ${store}.db is a foreign database`, async () => {
      await using stores = await closedStores();
      rmSync(stores.path(store));
      foreignDatabase(stores.path(store));
      const error = refusal(stores);
      expect(error.path).toBe(stores.path(store));
      expect(error.message).toContain("not a store of FetchBox");
    });

    test(`when ${store}.db is no database`, async () => {
      await using stores = await closedStores();
      writeFileSync(stores.path(store), pattern(20_000));
      chmodSync(stores.path(store), 0o640);
      expect(refusal(stores).path).toBe(stores.path(store));
    });

    test(`when ${store}.db belongs to another installation`, async () => {
      await using stores = await closedStores();
      await using other = await closedStores();
      copyFileSync(other.path(store), stores.path(store));
      const error = refusal(stores);
      expect(error.message).toContain("another installation");
      expect(STORES.map((name) => stores.path(name))).toContain(error.path);
    });

    test(`when ${store}.db is missing beside its siblings`, async () => {
      await using stores = await closedStores();
      rmSync(stores.path(store));
      const error = refusal(stores);
      expect(error.path).toBe(stores.path(store));
      expect(error.message).toContain("missing");
      expect(existsSync(stores.path(store))).toBe(false);
    });

    test(`when ${store}.db is empty beside its siblings`, async () => {
      await using stores = await closedStores();
      truncateSync(stores.path(store));
      const error = refusal(stores);
      expect(error.path).toBe(stores.path(store));
      expect(statSync(stores.path(store)).size).toBe(0);
    });

    test(`when ${store}.db is a folder`, async () => {
      await using stores = await closedStores();
      rmSync(stores.path(store));
      mkdirSync(stores.path(store));
      try {
        stores.open();
        throw new Error("the stores opened");
      } catch (error) {
        expect(error).toBeInstanceOf(StoreError);
        expect((error as StoreError).path).toBe(stores.path(store));
      }
    });
  }

  test("and opens again once it is repaired", async () => {
    await using stores = await closedStores();
    stores.tamper("dlq", "PRAGMA user_version = 99");
    refusal(stores);
    stores.tamper("dlq", "PRAGMA user_version = 1");
    stores.open();
    expect((await stores.queue.control.depth()).running).toBe(1);
  });
});

test("a new installation whose start was cut short between the stores starts", async () => {
  await using stores = openTestStores();
  stores.close();
  rmSync(stores.path("ledger"));
  rmSync(stores.path("dlq"));
  stores.open();
  expect(stores.stores.outbox.isDelivered).toBe(true);
});

test("an existing store that others could read is made private", async () => {
  await using stores = await closedStores();
  chmodSync(stores.path("queue"), 0o644);
  stores.open();
  expect(statSync(stores.path("queue")).mode & 0o777).toBe(0o600);
});
