import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { OpenUpload } from "../../src/jobs/object-store.ts";
import { OrphanCleaner } from "../../src/maintenance/orphan-cleaner.ts";
import { type RecoverDeps, recover } from "../../src/maintenance/recover.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import { claimAll, claimedJob, newJob, newTasks, settle, snoozeUntil } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

const signal = new AbortController().signal;

/** Recovers, with a storage that fails for the keys in `broken`, and returns the calls of the storage. */
async function recoverWith(stores: TestStores, broken: readonly string[] = []) {
  const aborted: OpenUpload[] = [];
  const retracted: number[] = [];
  const leftOver: string[] = [];
  const orFail = (key: string) =>
    broken.includes(key) ? Promise.reject(new Failure("UPLOAD_UNAVAILABLE", "away")) : Promise.resolve();
  const cleaner = new OrphanCleaner({
    orphans: stores.queue.orphans,
    store: {
      abortUpload: async (upload) => {
        await orFail(upload.key);
        aborted.push(upload);
      },
      removeUploaded: () => Promise.resolve(false),
    },
    keys: new KeyGuard(),
    clock: stores.clock,
    onEvent: (event) => {
      if (event.kind === "failed") leftOver.push(`${event.orphan.key} ${(event.error as Failure).code}`);
    },
  });
  const deps: RecoverDeps = {
    queue: stores.queue,
    cleaner,
    storesLate: false,
    removeOrphan: async ({ id, task }) => {
      await orFail(task.key);
      retracted.push(id);
    },
    onLeftOver: ({ key }, failure) => leftOver.push(`${key} ${failure.code}`),
    signal,
  };
  return { recovered: await recover(deps), aborted: aborted.map(({ uploadId }) => uploadId), retracted, leftOver };
}

async function recordUploads(stores: TestStores, keys: readonly string[]): Promise<void> {
  const [task] = await claimedJob(stores, 1);
  if (task === undefined) throw new Error("no task was claimed");
  for (const key of keys) {
    const upload = { task: task.id, claimId: task.claimId, bucket: "artifacts", key, uploadId: `upload of ${key}` };
    await stores.now(stores.queue.settlements.recordUpload(upload));
  }
}

const uploadsLeft = (stores: TestStores) =>
  stores.read("queue", "SELECT upload_id FROM uploads UNION ALL SELECT name FROM orphans");

describe("recovery at start-up", () => {
  test("aborts open uploads, requeues claims, sweeps staged jobs, and returns their numbers", async () => {
    await using stores = openTestStores();
    await recordUploads(stores, ["a", "b"]);
    await stores.now(stores.queue.acceptor.stage(newJob(), newTasks(3)));
    stores.crash();
    const { recovered, aborted, leftOver } = await recoverWith(stores);
    expect(recovered).toEqual({ interrupted: 1, suspects: 0, sweptJobs: 1, abortedUploads: 2 });
    expect(aborted).toEqual(["upload of a", "upload of b"]);
    expect(leftOver).toEqual([]);
    expect(uploadsLeft(stores)).toEqual([]);
    await expectTrueCounters(stores);
  });

  test("keeps an upload that cannot be aborted now for the next start, and continues", async () => {
    await using stores = openTestStores();
    await recordUploads(stores, ["a", "b", "c"]);
    stores.crash();
    const first = await recoverWith(stores, ["b"]);
    expect(first.recovered).toEqual({ interrupted: 1, suspects: 0, sweptJobs: 0, abortedUploads: 2 });
    expect(first.leftOver).toEqual(["b UPLOAD_UNAVAILABLE"]);
    stores.crash();
    const second = await recoverWith(stores);
    expect(second.aborted).toEqual(["upload of b"]);
    expect(uploadsLeft(stores)).toEqual([]);
  });

  test("brings waits into the new process's time before it takes over uploads", async () => {
    await using stores = openTestStores();
    const [waiting, uploading] = await claimedJob(stores, 2);
    if (waiting === undefined || uploading === undefined) throw new Error("too few were claimed");
    const since = stores.clock.steady();
    await settle(stores, waiting, snoozeUntil(since + 60_000, since));
    const upload = { bucket: "artifacts", key: "k", uploadId: "u" };
    await stores.now(
      stores.queue.settlements.recordUpload({ task: uploading.id, claimId: uploading.claimId, ...upload }),
    );
    stores.clock.jump(7_200_000);
    stores.crash();
    expect((await recoverWith(stores)).aborted).toEqual(["u"]);
    expect(stores.read("queue", "SELECT waiting_since FROM tasks WHERE waiting_since IS NOT NULL")).toEqual([
      { waiting_since: since + 7_200_000 },
    ]);
  });

  test("buries a task at its fifth crash even if its object cannot be removed now", async () => {
    await using stores = openTestStores();
    await claimedJob(stores, 2);
    for (let crash = 1; crash <= 4; crash++) {
      stores.crash();
      expect((await recoverWith(stores)).retracted).toEqual([]);
      for (const task of await claimAll(stores)) await stores.now(stores.queue.settlements.markStarted(task));
    }
    stores.crash();
    const { retracted, leftOver, recovered } = await recoverWith(stores, ["resources/r1"]);
    expect({ retracted, leftOver, interrupted: recovered.interrupted }).toEqual({
      retracted: [1],
      leftOver: ["resources/r1 UPLOAD_UNAVAILABLE"],
      interrupted: 2,
    });
    expect(await stores.stores.deadLetters.size()).toBe(2);
    await expectTrueCounters(stores);
  });
});
