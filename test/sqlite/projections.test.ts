import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { StoreError } from "../../src/jobs/stores/store-error.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Projection } from "../../src/sqlite/outbox.ts";
import {
  acceptance,
  claimAll,
  claimedJob,
  complete,
  discard,
  newJob,
  retryAt,
  settle,
} from "../support/sample-jobs.ts";
import { openTestStores, type StoreName, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

const FOLLOWERS: readonly StoreName[] = ["ledger", "dlq"];

/** A job with one task of each end, and one that was tried again. */
async function someHistory(stores: TestStores): Promise<void> {
  const [a, b, c] = await claimedJob(stores, 4);
  if (a === undefined || b === undefined || c === undefined) throw new Error("too few were claimed");
  await settle(stores, a, complete);
  await settle(stores, b, discard);
  await settle(stores, c, retryAt(stores.clock.now()));
  const [again] = await claimAll(stores);
  if (again !== undefined) await settle(stores, again, discard);
}

const outboxRows = (stores: TestStores) => stores.read<{ seq: number }>("queue", "SELECT seq FROM outbox ORDER BY seq");
const trimmedOf = (stores: TestStores) =>
  Number(stores.read<{ value: string }>("queue", "SELECT value FROM meta WHERE name = 'outbox_trimmed'")[0]?.value);
const followerOf = (stores: TestStores, name: StoreName): Projection =>
  name === "ledger" ? stores.stores.ledger.projection : stores.stores.deadLetters.projection;

/** Makes a projection refuse what it is given, as a full disk does, until the function it returns is called. */
function breakFollower(stores: TestStores, store: StoreName): () => void {
  const blocker = new Database(stores.path(store));
  blocker.run("BEGIN IMMEDIATE");
  return () => {
    blocker.run("ROLLBACK");
    blocker.close();
  };
}

function refusal(stores: TestStores): StoreError {
  try {
    stores.open();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("the stores opened");
}

describe("the projections", () => {
  test("hold everything when a change resolves", async () => {
    await using stores = openTestStores();
    await someHistory(stores);
    expect(stores.stores.outbox.isDelivered).toBe(true);
    await expectTrueCounters(stores);
  });

  test("get events of tasks after a moment, all at once, or as soon as a reader needs them", async () => {
    await using stores = openTestStores();
    const { outbox, ledger } = stores.stores;
    const results = () => stores.read("ledger", "SELECT task FROM results");
    const [a, b, c, d] = await claimedJob(stores, 5);
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error("too few");
    const settleNow = (claimed: ClaimedTask) => {
      const settled = stores.queue.settlements.settle({ claimed, verdict: complete });
      stores.queue.flush();
      return settled;
    };
    await settleNow(a);
    await settleNow(b);
    expect(outbox.isDelivered).toBe(false);
    expect(results()).toEqual([]);
    expect((await ledger.findJob(a.job.jobId))?.completed).toBe(0);
    expect((await ledger.result(a.id))?.state).toBe("completed");
    expect(results()).toHaveLength(2);
    expect((await ledger.findJob(a.job.jobId))?.completed).toBe(2);
    expect(outbox.isDelivered).toBe(true);

    await settleNow(c);
    const { promise: delivered, resolve } = Promise.withResolvers<void>();
    ledger.watch(a.job.seq, resolve);
    await delivered;
    expect(outbox.isDelivered).toBe(true);
    expect((await ledger.findJob(a.job.jobId))?.completed).toBe(3);
  });

  test("get the start of a job once, even across a restart", async () => {
    await using stores = openTestStores();
    const job = newJob();
    await stores.now(stores.queue.acceptor.accept(acceptance(3, { job })));
    await claimAll(stores, 1);
    expect((await stores.stores.ledger.findJob(job.jobId))?.status).toBe("in_progress");
    stores.reopen();
    const before = stores.stores.outbox.length;
    await claimAll(stores, 1);
    expect(stores.stores.outbox.length).toBe(before);
    await expectTrueCounters(stores);
  });

  test("get a job's begin and its end at once", async () => {
    await using stores = openTestStores();
    const accepting = stores.queue.acceptor.accept(acceptance(1));
    stores.queue.flush();
    await accepting;
    expect(stores.stores.outbox.isDelivered).toBe(true);
    const [task] = await claimAll(stores);
    if (task === undefined) throw new Error("no task was claimed");
    const settled = stores.queue.settlements.settle({ claimed: task, verdict: complete });
    stores.queue.flush();
    await settled;
    expect(stores.stores.outbox.isDelivered).toBe(true);
  });

  test("get many events without a moment's wait", async () => {
    await using stores = openTestStores();
    const claimed = await claimedJob(stores, 300);
    const settled = claimed.map((each) => stores.queue.settlements.settle({ claimed: each, verdict: complete }));
    await Promise.all(settled);
    expect(stores.read("ledger", "SELECT task FROM results").length).toBeGreaterThanOrEqual(256);
    await expectTrueCounters(stores);
  });

  test("get at the next start what was committed and not delivered when the process died", async () => {
    await using stores = openTestStores();
    const [task] = await claimedJob(stores, 2);
    if (task === undefined) throw new Error("no task was claimed");
    const settled = stores.queue.settlements.settle({ claimed: task, verdict: discard });
    stores.queue.flush();
    await settled;
    expect(stores.stores.outbox.isDelivered).toBe(false);
    stores.crash();
    expect(stores.stores.outbox.isDelivered).toBe(true);
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.failed).toBe(1);
    expect((await stores.stores.deadLetters.find(task.id))?.code).toBe("DOWNLOAD_HTTP_404");
    await expectTrueCounters(stores);
  });

  test("have dead letters before the ledger shows the job's end", async () => {
    await using stores = openTestStores();
    const [task] = await claimedJob(stores, 1);
    if (task === undefined) throw new Error("no task was claimed");
    const unblock = breakFollower(stores, "ledger");
    await settle(stores, task, discard);
    unblock();
    expect((await stores.stores.deadLetters.find(task.id))?.code).toBe("DOWNLOAD_HTTP_404");
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.status).toBe("in_progress");
    stores.stores.outbox.replay();
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.status).toBe("failed");
    await expectTrueCounters(stores);
  });

  for (const store of FOLLOWERS) {
    test(`that cannot be written to (${store}) do not stop the queue, and follow later, each event once`, async () => {
      await using stores = openTestStores();
      const unblock = breakFollower(stores, store);
      await someHistory(stores);
      expect(stores.lags.length).toBeGreaterThan(0);
      expect(stores.lags.every(({ projection }) => projection.path === stores.path(store))).toBe(true);
      expect(stores.stores.outbox.isDelivered).toBe(false);
      expect(stores.stores.outbox.isStuck).toBe(true);
      unblock();
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      expect(stores.stores.outbox.isDelivered).toBe(true);
      expect(stores.stores.outbox.isStuck).toBe(false);
      await expectTrueCounters(stores);
    });

    test(`that missed something (${store}) when the process died catch up at the next start`, async () => {
      await using stores = openTestStores();
      const unblock = breakFollower(stores, store);
      await someHistory(stores);
      unblock();
      stores.crash();
      expect(stores.stores.outbox.isDelivered).toBe(true);
      await expectTrueCounters(stores);
    });

    test(`that were replaced by an earlier copy (${store}) catch up while the outbox has the rest`, async () => {
      await using stores = openTestStores();
      await someHistory(stores);
      stores.close();
      const copy = `${stores.path(store)}.copy`;
      copyFileSync(stores.path(store), copy);
      stores.open();
      await someHistory(stores);
      stores.close();
      copyFileSync(copy, stores.path(store));
      stores.open();
      await expectTrueCounters(stores);
    });

    test(`that are behind what was trimmed (${store}) are refused`, async () => {
      await using stores = openTestStores();
      await someHistory(stores);
      stores.close();
      const copy = `${stores.path(store)}.copy`;
      copyFileSync(stores.path(store), copy);
      stores.open();
      await someHistory(stores);
      stores.stores.outbox.trim();
      stores.close();
      copyFileSync(copy, stores.path(store));
      const error = refusal(stores);
      expect(error.path).toBe(stores.path(store));
      expect(error.message).toContain("behind");
    });
  }

  test("show no end of a job in the ledger while its dead letters cannot be written", async () => {
    await using stores = openTestStores();
    const [task] = await claimedJob(stores, 1);
    if (task === undefined) throw new Error("none was claimed");
    const mend = breakFollower(stores, "dlq");
    await settle(stores, task, discard);
    expect(stores.stores.outbox.isDelivered).toBe(false);
    expect(stores.stores.outbox.lastError).toBeInstanceOf(Error);
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.status).toBe("in_progress");
    mend();
    stores.stores.outbox.replay();
    expect((await stores.stores.deadLetters.find(task.id))?.resourceId).toBe("r0");
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.status).toBe("failed");
  });

  test("that are ahead of a queue.db of another time are refused", async () => {
    await using stores = openTestStores();
    await someHistory(stores);
    stores.close();
    const copy = `${stores.path("queue")}.copy`;
    copyFileSync(stores.path("queue"), copy);
    stores.open();
    await someHistory(stores);
    stores.close();
    copyFileSync(copy, stores.path("queue"));
    const error = refusal(stores);
    expect(error.message).toContain("ahead");
  });

  test("take no batch twice and none out of order", async () => {
    await using stores = openTestStores();
    await someHistory(stores);
    for (const name of FOLLOWERS) {
      const projection = followerOf(stores, name);
      const at = projection.appliedSeq();
      for (const seq of [at, at - 1, at + 2]) {
        expect(() => projection.apply(seq, [{ events: [] }])).toThrow("does not follow");
      }
    }
    stores.stores.outbox.replay();
    await expectTrueCounters(stores);
  });
});

describe("trimming the outbox", () => {
  test("forgets what both projections have durably, and numbers go on", async () => {
    await using stores = openTestStores();
    await someHistory(stores);
    const last = outboxRows(stores).at(-1)?.seq ?? 0;
    stores.stores.outbox.trim();
    expect(outboxRows(stores)).toEqual([]);
    expect(stores.stores.outbox.length).toBe(0);
    stores.reopen();
    await someHistory(stores);
    expect(outboxRows(stores)[0]?.seq).toBe(last + 1);
    await expectTrueCounters(stores);
  });

  for (const store of FOLLOWERS) {
    test(`keeps what a reader of ${store}.db keeps from its file`, async () => {
      await using stores = openTestStores();
      await someHistory(stores);
      stores.stores.outbox.trim();
      const trimmed = trimmedOf(stores);
      using reader = new Database(stores.path(store), { readonly: true });
      reader.run("BEGIN");
      reader.query("SELECT count(*) FROM meta").get();
      await someHistory(stores);
      const kept = outboxRows(stores);
      stores.stores.outbox.trim();
      expect(trimmedOf(stores)).toBe(trimmed);
      expect(outboxRows(stores)).toEqual(kept);
      reader.run("COMMIT");
      stores.stores.outbox.trim();
      expect(outboxRows(stores)).toEqual([]);
    });

    test(`leaves what ${store}.db would need if its write-ahead log were lost with the power`, async () => {
      await using stores = openTestStores();
      await someHistory(stores);
      stores.stores.outbox.trim();
      await someHistory(stores);
      // What is in the database file alone is what is durable for sure.
      const before = stores.folder;
      const file = `${stores.path(store)}.durable`;
      copyFileSync(stores.path(store), file);
      stores.close();
      copyFileSync(file, stores.path(store));
      stores.open();
      expect(stores.folder).toBe(before);
      await expectTrueCounters(stores);
    });
  }

  test("happens by itself; if it fails no commit fails, and it is tried again", async () => {
    await using stores = openTestStores();
    for (let i = 0; i < 1999; i++) await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    const unblock = breakTrim(stores);
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    expect(stores.stores.outbox.length).toBe(2000);
    expect(() => stores.stores.outbox.trim()).toThrow("disk is full");
    unblock();
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    expect(stores.stores.outbox.length).toBe(0);
    await expectTrueCounters(stores);
  }, 60_000);
});

/** Lets trimming fail where it writes to queue.db, as a full disk does. */
function breakTrim(stores: TestStores): () => void {
  stores.tamper(
    "queue",
    "CREATE TRIGGER no_trim BEFORE DELETE ON outbox BEGIN SELECT raise(ABORT, 'database or disk is full'); END",
  );
  return () => stores.tamper("queue", "DROP TRIGGER no_trim");
}
