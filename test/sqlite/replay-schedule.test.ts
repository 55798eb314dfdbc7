import { describe, expect, test } from "bun:test";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { attempt, claimAll, claimedJob, discard, retryAt, settle } from "./sample-jobs.ts";

const GAP_MS = 100;

/** Ten dead letters, replayed at ten a second from now on. */
async function replayed(stores: TestStores): Promise<void> {
  const tasks = await claimedJob(stores, 10);
  for (const task of tasks) await settle(stores, task, discard);
  const from = stores.clock.steady();
  const replays = tasks.map(({ id, task }, at) => ({
    id,
    task,
    history: [attempt],
    availableAt: from + at * GAP_MS,
  }));
  expect(await stores.now(stores.queue.deadLetters.replay(replays))).toBe(10);
}

/** How many tasks become due in each of the next steps. */
async function dueBySteps(stores: TestStores, steps: number): Promise<number[]> {
  const due: number[] = [];
  for (let step = 0; step < steps; step++) {
    due.push((await claimAll(stores)).length);
    await stores.clock.advance(GAP_MS);
  }
  return due;
}

describe("the rate of a replay", () => {
  test("holds over a pause", async () => {
    await using stores = openTestStores();
    await replayed(stores);
    expect(await dueBySteps(stores, 3)).toEqual([1, 1, 1]);
    await stores.now(stores.queue.control.setPaused(true));
    await stores.clock.advance(60_000);
    await stores.now(stores.queue.control.setPaused(true)); // says nothing new
    await stores.clock.advance(60_000);
    await stores.now(stores.queue.control.setPaused(false));
    expect(await dueBySteps(stores, 8)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    await expectTrueCounters(stores);
  });

  test("counts from the end of a pause where it began in one", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.control.setPaused(true));
    await stores.clock.advance(3_600_000);
    await replayed(stores);
    await stores.clock.advance(500);
    await stores.now(stores.queue.control.setPaused(false));
    expect(await dueBySteps(stores, 11)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
  });

  test("holds over a time without a process, also in a pause", async () => {
    await using stores = openTestStores();
    await replayed(stores);
    await stores.now(stores.queue.control.setPaused(true));
    stores.crash();
    await stores.clock.advance(10_000);
    await stores.queue.recover(() => Promise.resolve());
    await stores.clock.advance(10_000);
    await stores.now(stores.queue.control.setPaused(false));
    expect(await dueBySteps(stores, 3)).toEqual([1, 1, 1]);
    stores.clock.tick(2000); // so that the commit notes the time
    await claimAll(stores, 1);
    stores.crash();
    await stores.clock.advance(30_000);
    await stores.queue.recover(() => Promise.resolve());
    await expectTrueCounters(stores);
    expect((await stores.queue.control.depth()).retrying).toBe(10);
  });

  test("delays no other task", async () => {
    await using stores = openTestStores();
    const [other] = await claimedJob(stores, 1);
    if (other === undefined) throw new Error("no task was claimed");
    await settle(stores, other, retryAt(stores.clock.steady() + 5000));
    await replayed(stores);
    await stores.now(stores.queue.control.setPaused(true));
    await stores.clock.advance(60_000);
    await stores.now(stores.queue.control.setPaused(false));
    // The one that was to be tried again in the pause, and the first two that follow at the rate.
    expect(await dueBySteps(stores, 2)).toEqual([2, 1]);
  });
});

test("the time since when a task waits for its storage moves with a pause", async () => {
  await using stores = openTestStores();
  const [task] = await claimedJob(stores, 1);
  if (task === undefined) throw new Error("no task was claimed");
  const at = stores.clock.steady();
  const waitingSince = { class: "unavailable", at } as const;
  await settle(stores, task, { kind: "snooze", attempt, availableAt: at + 1000, waitingSince });
  await stores.now(stores.queue.control.setPaused(true));
  await stores.clock.advance(7_200_000);
  expect(await stores.now(stores.queue.control.setPaused(false))).toBe(7_200_000);
  expect((await claimAll(stores))[0]?.waitingSince).toEqual({ class: "unavailable", at: at + 7_200_000 });
});
