import { expect, test } from "bun:test";
import { BulkOperationRunner } from "../../src/operations/bulk-operation-runner.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { claimedJob, discard, present } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

const MINUTE_MS = 60_000;

/** Stores with so many dead letters, and a runner over them. */
async function startRunner(count: number) {
  const stopping = new AbortController();
  const clock = new FakeClock();
  const stores = openTestStores(clock);
  const claimed = await claimedJob(stores, count);
  await stores.now(
    Promise.all(claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict: discard }))),
  );
  const runner = new BulkOperationRunner({
    deadLetterChanges: stores.queue.deadLetters,
    deadLetters: stores.stores.deadLetters,
    clock,
    onQueueError: (error) => {
      throw error;
    },
    signal: stopping.signal,
  });
  return { stores, runner, clock, stopping };
}

const replayAt = (ratePerSecond: number) => ({ kind: "replay", overrides: {}, ratePerSecond }) as const;

async function processed(stores: TestStores, id: number, count: number): Promise<void> {
  await eventually(`${count} are processed`, async () => {
    const operation = present(await stores.queue.deadLetters.operation(id));
    return operation.processed === count || undefined;
  });
}

function left(stores: TestStores): Promise<number> {
  stores.stores.outbox.deliver();
  return stores.stores.deadLetters.count({});
}

function waitingTimes(stores: TestStores): number[] {
  const rows = stores.read("queue", "SELECT available_at AS at FROM tasks WHERE available_at IS NOT NULL ORDER BY at");
  return rows.map((row) => (row as { at: number }).at);
}

test("a replay at a rate requeues what is due within a minute, in batches; a stop leaves the others", async () => {
  const { stores, runner, clock } = await startRunner(450);
  await using _ = stores;
  const begun = clock.steady();
  const { id } = await runner.begin({}, replayAt(1));
  await processed(stores, id, 200);
  expect(await runner.ended(id, 0)).toMatchObject({ state: "running", matched: 450, changed: 200 });
  await eventually("it waits", () => clock.pending === 1 || undefined);
  await clock.advance(139_000);
  await eventually("it waits", () => clock.pending === 1 || undefined);
  expect(await runner.ended(id, 0)).toMatchObject({ state: "running", changed: 200 });
  await clock.advance(1000);
  await processed(stores, id, 400);
  expect(waitingTimes(stores)).toEqual(Array.from({ length: 400 }, (__, at) => begun + at * 1000));
  expect(await runner.stop(id)).toMatchObject({ state: "stopped", changed: 400 });
  expect(await left(stores)).toBe(50);
  expect(clock.pending).toBe(0);
});

test("a pause that ends meanwhile moves what is still to come, too", async () => {
  const { stores, runner, clock } = await startRunner(250);
  await using _ = stores;
  const { id } = await runner.begin({}, replayAt(1));
  await processed(stores, id, 200);
  await eventually("it waits", () => clock.pending === 1 || undefined);
  await stores.now(stores.queue.control.setPaused(true));
  await clock.advance(MINUTE_MS);
  await stores.now(stores.queue.control.setPaused(false));
  const times = waitingTimes(stores);
  expect(times[0]).toBe(clock.steady());
  for (let minute = 0; minute < 3; minute++) {
    await eventually("it waits", () => clock.pending === 1 || undefined);
    await clock.advance(MINUTE_MS);
  }
  await processed(stores, id, 250);
  const gaps = waitingTimes(stores).map((at, index, all) => at - (all[index - 1] ?? at));
  expect(gaps).toEqual([0, ...Array.from({ length: 249 }, () => 1000)]);
  await eventually("it ends", async () => (await runner.ended(id, 0))?.state === "completed" || undefined);
});

test("a replay of one batch ends at once, whatever its rate", async () => {
  const { stores, runner } = await startRunner(200);
  await using _ = stores;
  const { id } = await runner.begin({}, replayAt(0.001));
  await eventually("it ends", async () => (await runner.ended(id, 0))?.state === "completed" || undefined);
  expect(await left(stores)).toBe(0);
});
