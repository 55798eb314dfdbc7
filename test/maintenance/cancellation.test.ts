import { expect, test } from "bun:test";
import { Cancellation } from "../../src/operations/cancellation.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import { eventually } from "../support/eventually.ts";
import { acceptance, newJob, newTasks } from "../support/sample-jobs.ts";
import { openTestStores } from "../support/stores.ts";

test("jobs that are cancelled at once share no commit: it takes a bounded number of tasks", async () => {
  await using stores = openTestStores();
  const jobs = Array.from({ length: 4 }, () => newJob({ createdAt: stores.clock.now() }));
  for (const job of jobs) await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(600), { job })));
  const { queue } = stores;
  const underWay = { now: 0, most: 0, all: 0 };
  const cancellation = new Cancellation({
    cancellations: {
      request: (jobId) => queue.cancellations.request(jobId),
      cancelling: () => queue.cancellations.cancelling(),
      isCancelling: (job) => queue.cancellations.isCancelling(job),
      waiting: (job, afterId, limit) => queue.cancellations.waiting(job, afterId, limit),
      onWaitingAgain: (listener) => queue.cancellations.onWaitingAgain(listener),
      async cancelWaiting(job, ids) {
        // What is asked for before the last commit is done may share the next one.
        underWay.now += ids.length;
        underWay.most = Math.max(underWay.most, underWay.now);
        await queue.cancellations.cancelWaiting(job, ids);
        underWay.now -= ids.length;
        underWay.all += ids.length;
      },
    },
    stopRunning: () => {},
    removeOrphan: () => Promise.resolve(),
    onQueueError: (error) => {
      throw error;
    },
    clock: stores.clock,
    signal: new AbortController().signal,
  });
  expect(await Promise.all(jobs.map(({ jobId }) => cancellation.cancel(jobId)))).toEqual(["new", "new", "new", "new"]);
  await eventually("all are cancelled", () => underWay.all === 2400 || undefined);
  expect(underWay.most).toBeLessThanOrEqual(250);
  await expectTrueCounters(stores);
});

test("a cancellation tells apart a new one, a repeated one, and a job that has ended", async () => {
  await using stores = openTestStores();
  const { jobId } = await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(1))));
  const { cancellations } = stores.queue;
  const cancellation = new Cancellation({
    cancellations,
    stopRunning: () => {},
    removeOrphan: () => Promise.resolve(),
    onQueueError: (error) => {
      throw error;
    },
    clock: stores.clock,
    signal: new AbortController().signal,
  });
  const both = [1, 2].map(() => cancellation.cancel(jobId));
  expect(await stores.now(Promise.all(both))).toEqual(["new", "repeated"]);
  await eventually("the job has ended", async () => (await cancellations.cancelling()).length === 0 || undefined);
  expect(await cancellation.cancel(jobId)).toBe("ended");
});
