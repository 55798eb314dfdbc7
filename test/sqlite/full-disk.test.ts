import { expect, test } from "bun:test";
import { isDiskFull } from "../../src/sqlite/store-error.ts";
import { rejectionOf } from "../support/rejection.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { acceptance, claimedJob, complete } from "./sample-jobs.ts";

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
  stores.queue.onLane((lane) => told.push(lane));
  const again = acceptance(5, { idempotency: { key: "k", fingerprint: new Uint8Array([1]), answer: "{}" } });
  const tryAll = () => {
    const tries = [
      stores.queue.accept(again),
      stores.queue.settle({ claimed: one, verdict: complete }),
      stores.queue.settle({ claimed: two, verdict: complete }),
      stores.queue.claim(stores.queue.lanes(10).map(({ id }) => ({ lane: id, limit: 5 }))),
    ] as const;
    stores.queue.flush();
    return tries;
  };
  const repair = breakSeal(stores);
  for (const attempt of tryAll()) expect(String(await rejectionOf(attempt))).toContain("disk is full");
  expect(told).toEqual([]);
  expect(stores.queue.depth()).toEqual({ pending: 0, running: 3, retrying: 0 });
  expect(stores.queue.findIdempotent("default", "k")).toBeUndefined();
  expect(stores.stores.ledger.findJob(again.job.jobId)).toBeUndefined();
  expectTrueCounters(stores);

  repair();
  const [accepted, first, second] = tryAll();
  expect([(await accepted).jobId, await first, await second]).toEqual([again.job.jobId, true, true]);
  expect(stores.queue.depth()).toEqual({ pending: 5, running: 1, retrying: 0 });
  stores.crash();
  expectTrueCounters(stores);
});

test("a full disk is told from other trouble", () => {
  const withCode = (code: string) => Object.assign(new Error("x"), { code });
  expect(["SQLITE_FULL", "ENOSPC", "EDQUOT"].map((code) => isDiskFull(withCode(code)))).toEqual([true, true, true]);
  expect([withCode("SQLITE_BUSY"), new Error("full"), "SQLITE_FULL", null].map(isDiskFull)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
