import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync } from "node:fs";
import { StoreError } from "../../src/jobs/stores/store-error.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import { MIGRATIONS } from "../../src/sqlite/file/migrations.ts";
import { JOBS_OF_KEY } from "../../src/sqlite/ledger/list-jobs.ts";
import { ageLedger } from "../support/old-ledger.ts";
import { ageQueue } from "../support/old-queue.ts";
import { digest } from "../support/pattern.ts";
import { attempt, claimAll, claimedJob, complete, discard, release, result, settle } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

const NEWEST = MIGRATIONS.ledger.length;
const schemaOf = (stores: TestStores) =>
  stores.read<{ user_version: number }>("ledger", "PRAGMA user_version")[0]?.user_version;
const codingOf = async (stores: TestStores, { id }: ClaimedTask) =>
  (await stores.stores.ledger.result(id))?.contentEncoding;

/** Closed stores of the previous build, with a task that completed, one that failed, and two at work. */
async function oldStores(): Promise<{
  stores: TestStores;
  tasks: [ClaimedTask, ClaimedTask, ClaimedTask, ClaimedTask];
}> {
  const stores = openTestStores();
  const [done, failed, open, last] = await claimedJob(stores, 4);
  if (!done || !failed || !open || !last) throw new Error("too few were claimed");
  await settle(stores, done, complete);
  await settle(stores, failed, discard);
  stores.close();
  ageLedger(stores.path("ledger"));
  expect(schemaOf(stores)).toBe(1);
  expect(() => stores.read("ledger", "SELECT content_encoding FROM results")).toThrow("no such column");
  return { stores, tasks: [done, failed, open, last] };
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

describe("a ledger without content codings", () => {
  test("is upgraded where it is opened: its rows have none, later ones have theirs", async () => {
    const { stores, tasks } = await oldStores();
    await using _ = stores;
    const [done, failed, open] = tasks;
    const before = stores.read("ledger", "SELECT * FROM results");
    stores.open();
    expect(schemaOf(stores)).toBe(NEWEST);
    expect(stores.read("ledger", "SELECT * FROM results")).toEqual(
      before.map((row) => ({ ...(row as object), content_encoding: null, proven_by_size: 0 })),
    );
    expect(await codingOf(stores, done)).toBeNull();
    expect(await codingOf(stores, failed)).toBeNull();
    await settle(stores, open, { kind: "complete", result: { ...result, contentEncoding: "gzip, br" } });
    expect(await codingOf(stores, open)).toBe("gzip, br");
    await settle(stores, tasks[3], { kind: "complete", result: { ...result, integrity: "size" } });
    expect((await stores.stores.ledger.result(tasks[3].id))?.integrity).toBe("size");
    await expectTrueCounters(stores);
    stores.reopen();
    expect([schemaOf(stores), await codingOf(stores, open), await codingOf(stores, done)]).toEqual([
      NEWEST,
      "gzip, br",
      null,
    ]);
    expect(stores.read<unknown>("ledger", "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });

  test("is upgraded before it gets what it missed", async () => {
    const { stores, tasks } = await oldStores();
    await using _ = stores;
    const copy = `${stores.path("ledger")}.copy`;
    copyFileSync(stores.path("ledger"), copy);
    stores.open();
    await settle(stores, tasks[2], { kind: "complete", result: { ...result, contentEncoding: "gzip" } });
    // Its event is one as the previous build wrote it.
    await settle(stores, tasks[3], complete);
    stores.close();
    copyFileSync(copy, stores.path("ledger"));
    stores.open();
    expect(await Promise.all(tasks.map((task) => codingOf(stores, task)))).toEqual([null, null, "gzip", null]);
    await expectTrueCounters(stores);
  });

  test("stays as it is where the stores are refused", async () => {
    const { stores } = await oldStores();
    await using _ = stores;
    const before = digest(readFileSync(stores.path("ledger")));
    for (const [sql, undo, reason] of [
      ["PRAGMA user_version = 99", "PRAGMA user_version = 1", "newer"],
      [
        "UPDATE meta SET value = value || 'x' WHERE name = 'installation'",
        "UPDATE meta SET value = trim(value, 'x') WHERE name = 'installation'",
        "another installation",
      ],
      [
        "UPDATE meta SET value = value + 1000 WHERE name = 'applied_seq'",
        "UPDATE meta SET value = value - 1000 WHERE name = 'applied_seq'",
        "ahead",
      ],
      [
        "UPDATE meta SET value = value || 'x' WHERE name = 'epoch'",
        "UPDATE meta SET value = trim(value, 'x') WHERE name = 'epoch'",
        "another history",
      ],
    ] as const) {
      stores.tamper("dlq", sql);
      expect(refusal(stores).message).toContain(reason);
      expect(digest(readFileSync(stores.path("ledger")))).toBe(before);
      stores.tamper("dlq", undo);
    }
    stores.open();
    expect(schemaOf(stores)).toBe(NEWEST);
  });

  test("that cannot be upgraded is named, stays as it is, and is upgraded by the next start", async () => {
    const { stores } = await oldStores();
    await using _ = stores;
    const writer = new Database(stores.path("ledger"));
    writer.run("BEGIN IMMEDIATE");
    const error = refusal(stores);
    expect([error.path, error.message]).toEqual([
      stores.path("ledger"),
      expect.stringContaining("cannot be upgraded: another program holds a lock on it; "),
    ]);
    writer.close();
    expect(schemaOf(stores)).toBe(1);
    stores.open();
    expect(schemaOf(stores)).toBe(NEWEST);
  });
});

describe("a queue without orphans", () => {
  const shape = (stores: TestStores) =>
    stores.read<{ name: string; sql: string }>("queue", "SELECT name, sql FROM sqlite_schema ORDER BY name");

  test("is upgraded: what was tried may have stored, and recorded uploads are taken over", async () => {
    await using stores = openTestStores();
    const [tried, running, fresh] = await claimedJob(stores, 3);
    if (!tried || !running || !fresh) throw new Error("too few were claimed");
    await settle(stores, tried, { kind: "retry", attempt, availableAt: 0 });
    await settle(stores, fresh, release);
    const upload = { bucket: "artifacts", key: "k", uploadId: "u" };
    await stores.now(stores.queue.settlements.recordUpload({ task: running.id, claimId: running.claimId, ...upload }));
    const newest = shape(stores);
    stores.close();
    ageQueue(stores.path("queue"));
    stores.open();
    expect(shape(stores)).toEqual(newest);
    await stores.queue.orphans.begin();
    await stores.queue.recover(() => Promise.resolve(), true);
    const orphans = () => stores.read("queue", "SELECT task, kind, name, due_at FROM orphans");
    expect(orphans()).toEqual([{ task: running.id, kind: "upload", name: "u", due_at: 0 }]);
    expect((await claimAll(stores)).map(({ id, mayHaveStored }) => [id, mayHaveStored])).toEqual([
      [tried.id, true],
      [running.id, true],
      [fresh.id, false],
    ]);
    await expectTrueCounters(stores);
    stores.reopen();
    expect(stores.read<unknown>("queue", "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    await stores.queue.orphans.begin();
    expect(orphans().length).toBe(1);
  });
});

describe("a queue without names of tokens", () => {
  test("is upgraded: the authors of its operations and of its pause are unknown, later ones are known", async () => {
    await using stores = openTestStores();
    const change = { kind: "replay", filter: {}, overrides: {}, ratePerSecond: 1, matched: 0 } as const;
    const old = await stores.now(stores.queue.deadLetters.begin({ ...change, startedBy: "alice" }));
    const pausedAt = stores.clock.steady();
    await stores.now(stores.queue.control.setPaused(true, "alice"));
    stores.close();
    ageQueue(stores.path("queue"));
    stores.tamper("queue", "DELETE FROM meta WHERE name IN ('paused_by', 'paused_since')");
    stores.clock.tick(5000);
    stores.open();
    expect(stores.queue.control.pause()).toEqual({ by: null, at: pausedAt });
    const later = await stores.now(stores.queue.deadLetters.begin({ ...change, startedBy: "bob" }));
    const starters = async () =>
      (await stores.queue.deadLetters.operations()).map(({ id, state, startedBy }) => [id, state, startedBy]);
    const expected = [
      [later.id, "running", "bob"],
      [old.id, "running", null],
    ];
    expect(await starters()).toEqual(expected);
    stores.reopen();
    expect(await starters()).toEqual(expected);
    expect(stores.read<unknown>("queue", "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});

test("jobs are found by an idempotency key through its index", async () => {
  await using stores = openTestStores();
  const plan = stores.read<{ detail: string }>(
    "ledger",
    `EXPLAIN QUERY PLAN SELECT seq FROM ${JOBS_OF_KEY.replace("$idempotencyKey", "'k'")} ORDER BY seq DESC LIMIT 1`,
  );
  expect(plan.map(({ detail }) => detail).join("; ")).toMatch(
    /SEARCH idempotency USING (COVERING )?INDEX idempotency_by_key .*SEARCH jobs USING INTEGER PRIMARY KEY/,
  );
});
