import { expect, test } from "bun:test";
import { Cancellation } from "../../src/maintenance/cancellation.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import { acceptance, newJob, newTasks } from "../sqlite/sample-jobs.ts";
import { turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { openTestStores } from "../support/stores.ts";

test("jobs that are cancelled at once share no commit: it takes a bounded number of tasks", async () => {
  await using stores = openTestStores();
  const jobs = Array.from({ length: 4 }, () => newJob({ createdAt: stores.clock.now() }));
  for (const job of jobs) await stores.now(stores.queue.accept(acceptance(newTasks(600), { job })));
  const cancellation = new Cancellation({
    queue: stores.queue,
    stopRunning: () => {},
    retract: () => Promise.resolve(),
    onTrouble: (error) => {
      throw error;
    },
    clock: stores.clock,
    signal: new AbortController().signal,
  });
  const waiting = () => stores.read<{ n: number }>("queue", "SELECT sum(tasks) AS n FROM depth")[0]?.n ?? 0;
  const counts = [waiting()];
  const all = Promise.all(jobs.map(({ jobId }) => cancellation.cancel(jobId)));
  await eventually("all are cancelled", async () => {
    // Between two commits there is a turn of the event loop.
    for (let turns = 0; turns < 100; turns++) {
      await turn();
      const now = waiting();
      if (now !== counts.at(-1)) counts.push(now);
      if (now === 0) return true;
    }
    return undefined;
  });
  expect(await all).toEqual([true, true, true, true]);
  const steps = counts.slice(1).map((count, i) => (counts[i] ?? 0) - count);
  expect(Math.max(...steps)).toBeLessThanOrEqual(250);
  expect(steps.reduce((sum, step) => sum + step, 0)).toBe(2400);
  expectTrueCounters(stores);
});
