import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StoreError } from "../../src/jobs/stores/store-error.ts";
import { backUpBeforeUpgrade } from "../../src/sqlite/backup/back-up-before-upgrade.ts";
import { ageQueue } from "../support/old-queue.ts";
import { openTestStores } from "../support/stores.ts";

/** Closed stores of an older schema, and what backs them up. */
function oldStores() {
  const stores = openTestStores();
  stores.close();
  ageQueue(stores.path("queue"));
  const paths = { queue: stores.path("queue"), ledger: stores.path("ledger"), dlq: stores.path("dlq") };
  const backUp = (onBackup: (folder: string) => void = () => {}) =>
    backUpBeforeUpgrade(paths, { version: "1.0.0", onBackup }, stores.clock.now());
  return { stores, paths, backUp };
}

test("a backup of the same schemas stays if the new backup fails", async () => {
  const { stores, paths, backUp } = oldStores();
  await using _ = stores;
  let older = "";
  const failing = () =>
    backUp((folder) => {
      older = join(folder, "older");
      mkdirSync(folder);
      writeFileSync(older, "");
      rmSync(paths.dlq);
    });
  expect(failing).toThrow(StoreError);
  expect(existsSync(older)).toBe(true);
});

test("stores of which one has no tables yet are opened without a backup, as if it were missing", async () => {
  const { stores, paths, backUp } = oldStores();
  await using _ = stores;
  for (const suffix of ["", "-wal", "-shm"]) rmSync(paths.dlq + suffix, { force: true });
  using empty = new Database(paths.dlq);
  for (const sql of ["CREATE TABLE t (c)", "DROP TABLE t"]) empty.run(sql);
  empty.close();
  const folders: string[] = [];
  backUp((folder) => folders.push(folder));
  expect(folders).toEqual([]);
  stores.open();
  expect(await stores.stores.deadLetters.size()).toBe(0);
});
