import { describe, expect, test } from "bun:test";
import type { Counter } from "../../src/sqlite/counters.ts";
import { acceptance, claimAll, complete, discard, newTasks, release, settle } from "../support/sample-jobs.ts";
import { openTestStores, type StoreName, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

const HOSTS = ["a.test", "b.test"];

/** A job whose tasks wait, run, are stored and are dead letters. */
async function busyJob(stores: TestStores) {
  await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(8, HOSTS))));
  const [first, second, third, ...running] = await claimAll(stores, 3);
  if (first === undefined || second === undefined || third === undefined) throw new Error("no task was claimed");
  await settle(stores, first, complete);
  await settle(stores, second, discard);
  await settle(stores, third, discard);
  await expectTrueCounters(stores);
  return { running, deadLetters: [second, third] };
}

/** Everything that a service does to the job until it has ended, a replay of its dead letters among it. */
async function finish(
  stores: TestStores,
  { running, deadLetters }: Awaited<ReturnType<typeof busyJob>>,
): Promise<void> {
  const [released, ...others] = running;
  if (released !== undefined) await settle(stores, released, release);
  for (const claimed of others) await settle(stores, claimed, complete);
  const found = await Promise.all(deadLetters.map(({ id }) => stores.stores.deadLetters.find(id)));
  const replays = found.flatMap((deadLetter) =>
    deadLetter === undefined
      ? []
      : { id: deadLetter.task, task: deadLetter.contents, history: deadLetter.history, availableAt: 0 },
  );
  await stores.now(stores.queue.deadLetters.replay(replays));
  for (let left = await claimAll(stores); left.length > 0; left = await claimAll(stores)) {
    for (const claimed of left) await settle(stores, claimed, complete);
  }
}

const DRIFTS: readonly (readonly [string, StoreName, string, readonly Counter[]])[] = [
  ["a job counts more than it has", "queue", "UPDATE jobs SET completed = 4", ["jobs"]],
  ["a job counts more dead letters than failures", "queue", "UPDATE jobs SET failed = 0, letters = 0", ["jobs"]],
  ["a lane counts less than waits", "queue", "UPDATE lanes SET waiting = 0 WHERE host = 'a.test'", ["lanes"]],
  ["the counter of waiting tasks is too low", "queue", "UPDATE depth SET tasks = 0 WHERE state = 'pending'", ["depth"]],
  ["the counter of running tasks is too low", "queue", "UPDATE depth SET tasks = 0 WHERE state = 'running'", ["depth"]],
  ["the counters of hosts are missing", "queue", "DELETE FROM waits", ["host_waits"]],
  ["the ledger counts more than there are", "ledger", "UPDATE jobs SET completed = 5", ["ledger_jobs"]],
  ["the ledger counts no failures", "ledger", "UPDATE jobs SET failed = 0", ["ledger_jobs"]],
  ["the counter of dead letters is 0", "dlq", "UPDATE size SET letters = 0", ["dead_letters"]],
  ["a group of dead letters is gone", "dlq", "DELETE FROM groups WHERE grouping = 'code'", ["dead_letters"]],
];

describe("a counter that drifts fails no commit: it is recounted and reported", () => {
  test.each(DRIFTS)("%s", async (_, store, sql, expected) => {
    await using stores = openTestStores();
    const job = await busyJob(stores);
    stores.tamper(store, sql);
    await finish(stores, job);
    expect(stores.lags).toEqual([]);
    expect([...new Set(stores.drifts)]).toEqual([...expected]);
    expect(stores.read("queue", "SELECT status, completed FROM jobs")).toEqual([{ status: "completed", completed: 8 }]);
    await expectTrueCounters(stores);
  });
});

test("a job does not end while tasks of it wait or run, whatever its counters say", async () => {
  await using stores = openTestStores();
  const job = await busyJob(stores);
  stores.tamper("queue", "UPDATE jobs SET completed = 5");
  const [running] = job.running;
  if (running === undefined) throw new Error("no task runs");
  await settle(stores, running, complete);
  expect(stores.read("queue", "SELECT status, completed FROM jobs")).toEqual([{ status: "in_progress", completed: 2 }]);
  expect(stores.drifts).toEqual(["jobs"]);
  await expectTrueCounters(stores);
});

test("where nothing drifts, nothing is reported", async () => {
  await using stores = openTestStores();
  await finish(stores, await busyJob(stores));
  expect(stores.drifts).toEqual([]);
});
