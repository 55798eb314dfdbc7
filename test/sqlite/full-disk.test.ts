import { expect, test } from "bun:test";
import { isDiskFull } from "../../src/jobs/stores/store-error.ts";
import { rejectionOf } from "../support/rejection.ts";
import { acceptance, claimAll, claimedJob, complete } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

/** Lets the commit fail at its very end, after all its members did their work, until the function is called. */
function breakSeal(stores: TestStores): () => void {
  stores.tamper(
    "queue",
    "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT raise(ROLLBACK, 'database or disk is full'); END",
  );
  return () => stores.tamper("queue", "DROP TRIGGER full");
}

test("jobs and settlements that share a commit that fails are as if they had not been tried, and can be tried again", async () => {
  await using stores = openTestStores();
  const [one, two] = await claimedJob(stores, 3);
  if (one === undefined || two === undefined) throw new Error("too few were claimed");
  const told: unknown[] = [];
  stores.queue.source.onLane((lane) => told.push(lane));
  const again = acceptance(5, { idempotency: { key: "k", fingerprint: new Uint8Array([1]), answer: "{}" } });
  const tryAll = async () => {
    const tries = [
      stores.queue.acceptor.accept(again),
      stores.queue.settlements.settle({ claimed: one, verdict: complete }),
      stores.queue.settlements.settle({ claimed: two, verdict: complete }),
      stores.queue.source.claim((await stores.queue.source.lanes(10)).map(({ id }) => ({ lane: id, limit: 5 }))),
    ] as const;
    stores.queue.flush();
    return tries;
  };
  const repair = breakSeal(stores);
  for (const attempt of await tryAll()) expect(String(await rejectionOf(attempt))).toContain("disk is full");
  expect(told).toEqual([]);
  expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 3, retrying: 0 });
  expect(await stores.queue.acceptor.findIdempotent("default", "k")).toBeUndefined();
  expect(await stores.stores.ledger.findJob(again.job.jobId)).toBeUndefined();
  await expectTrueCounters(stores);

  repair();
  const [accepted, first, second] = await tryAll();
  expect([(await accepted).jobId, await first, await second]).toEqual([again.job.jobId, true, true]);
  expect(await stores.queue.control.depth()).toEqual({ pending: 5, running: 1, retrying: 0 });
  stores.crash();
  await expectTrueCounters(stores);
});

test("a job whose commit failed lends its name to no later one", async () => {
  await using stores = openTestStores();
  const repair = breakSeal(stores);
  const lost = stores.queue.acceptor.accept(acceptance(2));
  stores.queue.flush();
  expect(String(await rejectionOf(lost))).toContain("disk is full");
  repair();
  const next = acceptance(2);
  await stores.now(stores.queue.acceptor.accept(next));
  expect((await claimAll(stores)).map(({ job }) => job.jobId)).toEqual([next.job.jobId, next.job.jobId]);
});

test("a job that was refused lends its name to none that shares its commit", async () => {
  await using stores = openTestStores();
  const idempotency = { key: "k", fingerprint: new Uint8Array([1]), answer: "{}" };
  await stores.now(stores.queue.acceptor.accept(acceptance(1, { idempotency })));
  await claimAll(stores);
  // Its lanes are read before the commit as a whole is thrown away.
  const taken = stores.queue.acceptor.accept(acceptance(2));
  const refused = stores.queue.acceptor.accept(acceptance(2, { idempotency }));
  const repair = breakSeal(stores);
  stores.queue.flush();
  for (const attempt of [taken, refused]) await rejectionOf(attempt);
  repair();
  const next = acceptance(3);
  await stores.now(stores.queue.acceptor.accept(next));
  expect(new Set((await claimAll(stores)).map(({ job }) => job.jobId))).toEqual(new Set([next.job.jobId]));
  await expectTrueCounters(stores);
});

test("a full disk is distinguished from other errors", () => {
  const withCode = (code: string) => Object.assign(new Error("x"), { code });
  expect(["SQLITE_FULL", "ENOSPC", "EDQUOT"].map((code) => isDiskFull(withCode(code)))).toEqual([true, true, true]);
  expect([withCode("SQLITE_BUSY"), new Error("full"), "SQLITE_FULL", null].map(isDiskFull)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
