import { expect, test } from "bun:test";
import { cpSync } from "node:fs";
import { StoreError } from "../../src/sqlite/store-error.ts";
import { makeFolder, openTestStores, type StoreName, TestStores } from "../support/stores.ts";
import { claimedJob, complete, settle } from "./sample-jobs.ts";

async function endJobs(stores: TestStores, jobs: number): Promise<void> {
  for (let i = 0; i < jobs; i++) {
    for (const claimed of await claimedJob(stores, 1)) await settle(stores, claimed, complete);
  }
}

/** A copy of the stores as they lie there, opened. */
function copyOf(stores: TestStores): TestStores {
  const folder = makeFolder();
  cpSync(stores.folder, folder, { recursive: true });
  return new TestStores(folder, stores.clock);
}

/** Puts one store of another history in the place of ours. */
function replace(stores: TestStores, store: StoreName, other: TestStores): void {
  other.close();
  stores.close();
  cpSync(other.path(store), stores.path(store));
}

for (const store of ["ledger", "dlq"] as const) {
  test(`a ${store} that went another way since a copy is refused, though its number fits`, async () => {
    await using stores = openTestStores();
    await endJobs(stores, 3);
    await using fork = copyOf(stores);
    await endJobs(stores, 5);
    await endJobs(fork, 3);
    // Nothing is trimmed yet: by the numbers alone it would only lag behind.
    expect(fork.stores.outbox.last).toBeLessThan(stores.stores.outbox.last);
    replace(stores, store, fork);
    expect(() => stores.open()).toThrow(StoreError);
    expect(() => stores.open()).toThrow(`${store}.db: went another way than`);
  });
}

test("a follower that lost its last batches, and the step to this epoch, with the power is brought up again", async () => {
  await using stores = openTestStores();
  await endJobs(stores, 3);
  stores.close();
  const durable = `${stores.folder}/durable`;
  cpSync(stores.path("ledger"), durable);
  for (let i = 0; i < 3; i++) {
    stores.open();
    await endJobs(stores, 1);
    stores.close();
    cpSync(durable, stores.path("ledger"));
  }
  stores.open();
  expect(stores.read("ledger", "SELECT count(*) AS n FROM jobs")).toEqual([{ n: 6 }]);
});
