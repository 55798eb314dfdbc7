import { expect, test } from "bun:test";
import { cpSync, existsSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { StoreError } from "../../src/jobs/stores/store-error.ts";
import { claimedJob, complete, settle } from "../support/sample-jobs.ts";
import { makeFolder, openTestStores, type StoreName, TestStores } from "../support/stores.ts";

const FRAME = 24 + 4096;

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
  test(`a ${store} with another history since a copy is refused, though its number fits`, async () => {
    await using stores = openTestStores();
    await endJobs(stores, 3);
    await using fork = copyOf(stores);
    await endJobs(stores, 5);
    await endJobs(fork, 3);
    // Nothing is trimmed yet: by the numbers alone it would only lag behind.
    expect(fork.stores.outbox.last).toBeLessThan(stores.stores.outbox.last);
    replace(stores, store, fork);
    expect(() => stores.open()).toThrow(StoreError);
    expect(() => stores.open()).toThrow(`${store}.db: has another history than`);
  });
}

/** Every state in which a loss of power may leave a projection: its log up to the end of some commit. */
function logPrefixes(log: string): number[] {
  const bytes = existsSync(log) ? readFileSync(log) : Buffer.alloc(0);
  const ends = [0];
  for (let at = 32; at + FRAME <= bytes.length; at += FRAME) {
    const isCurrent = bytes.compare(bytes, 16, 24, at + 8, at + 16) === 0;
    if (isCurrent && bytes.readUInt32BE(at + 4) !== 0) ends.push(at + FRAME);
  }
  return ends;
}

for (const store of ["ledger", "dlq"] as const) {
  test(`whatever a ${store} lost of its log with the power, start after start, it is brought up again`, async () => {
    await using stores = openTestStores();
    let jobs = 0;
    for (let start = 1; start <= 4; start++) {
      await endJobs(stores, 2);
      jobs += 2;
      const lengths = logPrefixes(`${stores.path(store)}-wal`);
      for (const length of [...lengths.slice(0, 6), ...lengths.slice(-6)]) {
        const folder = makeFolder();
        cpSync(stores.folder, folder, { recursive: true });
        truncateSync(join(folder, `${store}.db-wal`), length);
        rmSync(join(folder, `${store}.db-shm`), { force: true });
        await using survivor = new TestStores(folder, stores.clock);
        // And once more, with what this start wrote.
        survivor.crash();
        expect(survivor.read("ledger", "SELECT count(*) AS n FROM jobs")).toEqual([{ n: jobs }]);
      }
      // The power goes: of this life of the projection only the first half stays.
      const half = lengths[Math.floor(lengths.length / 2)] ?? 0;
      const folder = makeFolder();
      cpSync(stores.folder, folder, { recursive: true });
      stores.close();
      rmSync(stores.folder, { recursive: true });
      cpSync(folder, stores.folder, { recursive: true });
      truncateSync(`${stores.path(store)}-wal`, half);
      rmSync(`${stores.path(store)}-shm`, { force: true });
      stores.open();
    }
  });
}
