import { describe, expect, test } from "bun:test";
import type { JobHeader, JobStatus } from "../../../src/jobs/job.ts";
import type { Lane } from "../../../src/jobs/lane.ts";
import { ATTEMPTS_KEPT_MAX, type ClaimedTask } from "../../../src/jobs/task.ts";
import type { Verdict } from "../../../src/jobs/verdict.ts";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  discard,
  firstOf,
  newJob,
  newTasks,
  present,
  release,
  result,
  retryAt,
  settle,
  snoozeUntil,
} from "../../support/sample-jobs.ts";
import { type BackendStores, everythingOf, jobOf, type OpenBackend, recover, tasksOf } from "./backend.ts";

/** The promises of `Settlements`, without those of uploads. */
export function describeSettlements(open: OpenBackend): void {
  describeEnds(open);
  describeWaits(open);
  describeStaleClaims(open);
  describeEndsOfJobs(open);
}

async function oneClaimed(stores: BackendStores, tasks = 1): Promise<ClaimedTask> {
  return firstOf(await claimedJob(stores, tasks));
}

/** The one task of a job, as the queue has it. */
async function queuedTask(stores: BackendStores, { job }: ClaimedTask) {
  return firstOf(await tasksOf(stores, await jobOf(stores, job.jobId)));
}

function describeEnds(open: OpenBackend): void {
  describe("a verdict", () => {
    test("complete: the result is in the ledger, the contents are gone from the queue", async () => {
      await using stores = await open();
      const task = await oneClaimed(stores);
      await stores.clock.advance(500);
      expect(await settle(stores, task, complete)).toBe(true);
      expect(await queuedTask(stores, task)).toMatchObject({ state: "completed", task: undefined, history: [] });
      expect(await stores.ledger.result(task.id)).toEqual({
        task: task.id,
        state: "completed",
        resourceId: "r0",
        url: task.task.url,
        ...result,
        contentEncoding: null,
        attempts: 1,
        errorCode: null,
        errorMessage: null,
        finishedAt: stores.clock.now(),
        history: [],
      });
      expect(await jobOf(stores, task.job.jobId)).toMatchObject({
        status: "completed",
        completed: 1,
        bytes: result.bytes,
        completedAt: stores.clock.now(),
      });
      await stores.expectTrueCounters();
    });

    test("complete: the codings of the body and each kind of integrity are kept", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 3);
      for (const [at, integrity] of (["verified", "size", "unverified"] as const).entries()) {
        const task = present(tasks[at]);
        await settle(stores, task, { kind: "complete", result: { ...result, integrity, contentEncoding: "gzip, br" } });
        expect(await stores.ledger.result(task.id)).toMatchObject({ integrity, contentEncoding: "gzip, br" });
      }
    });

    test("discard: a dead letter holds the task with its headers and attempts, the queue no longer", async () => {
      await using stores = await open();
      const job = newJob({ tenant: "t1" });
      const tasks = [{ ...firstOf(newTasks(1)), headers: { Cookie: "secret" } }];
      await stores.now(stores.queue.acceptor.accept(acceptance(tasks, { job })));
      await settle(stores, firstOf(await claimAll(stores)), retryAt(stores.clock.now()));
      const task = firstOf(await claimAll(stores));
      await settle(stores, task, { ...discard, attempts: 2 } as Verdict);

      expect(await queuedTask(stores, task)).toMatchObject({ state: "failed", task: undefined, history: [] });
      const deadLetter = present(await stores.deadLetters.find(task.id));
      expect(deadLetter).toMatchObject({
        task: task.id,
        jobId: job.jobId,
        tenant: "t1",
        resourceId: "r0",
        host: "origin.test",
        code: "DOWNLOAD_HTTP_404",
        attempts: 2,
        failedAt: stores.clock.now(),
        contents: task.task,
      });
      expect(deadLetter.history.map(({ code }) => code)).toEqual(["DOWNLOAD_HTTP_502", "DOWNLOAD_HTTP_404"]);
      expect(await stores.ledger.result(task.id)).toMatchObject({
        state: "failed",
        httpStatus: 404,
        errorCode: "DOWNLOAD_HTTP_404",
        attempts: 2,
        integrity: null,
        sha256: null,
      });
      expect(await stores.deadLetters.size()).toBe(1);
      await stores.expectTrueCounters();
    });

    test("cancel: the task has ended without a dead letter, and its job is cancelled", async () => {
      await using stores = await open();
      const task = await oneClaimed(stores);
      await settle(stores, task, retryAt(stores.clock.now()));
      const again = firstOf(await claimAll(stores));
      expect(await settle(stores, again, { kind: "cancel" })).toBe(true);
      expect(await queuedTask(stores, task)).toMatchObject({ state: "cancelled", task: undefined });
      expect(await stores.ledger.result(task.id)).toMatchObject({
        state: "cancelled",
        attempts: 1,
        httpStatus: attempt.httpStatus,
        errorCode: null,
        history: [attempt],
      });
      expect(await stores.deadLetters.size()).toBe(0);
      expect(await jobOf(stores, task.job.jobId)).toMatchObject({ status: "cancelled", cancelled: 1 });
      await stores.expectTrueCounters();
    });
  });
}

function describeWaits(open: OpenBackend): void {
  describe("a verdict", () => {
    test("retry: an attempt is spent, the task waits as retrying", async () => {
      await using stores = await open();
      const task = await oneClaimed(stores);
      const due = stores.clock.now() + 5000;
      const lanes: Lane[] = [];
      stores.queue.source.onLane((lane) => lanes.push(lane));
      expect(await settle(stores, task, retryAt(due))).toBe(true);
      expect(await queuedTask(stores, task)).toMatchObject({ state: "retrying", attempts: 1, history: [attempt] });
      expect(lanes).toMatchObject([{ waiting: 1, nextDue: due }]);
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 1 });
      await stores.clock.advance(5000);
      const again = firstOf(await claimAll(stores));
      expect(again).toMatchObject({ attempts: 1, history: [attempt], waitingSince: undefined, task: task.task });
      expect(again.claimId).toBeGreaterThan(task.claimId);
      await stores.expectTrueCounters();
    });

    test("snooze: no attempt is spent, and since when it waits is kept until the next retry", async () => {
      await using stores = await open();
      const now = stores.clock.now();
      await settle(stores, await oneClaimed(stores), snoozeUntil(now + 10, now));
      await stores.clock.advance(10);
      const again = firstOf(await claimAll(stores));
      expect(again).toMatchObject({ attempts: 0, history: [attempt], waitingSince: { class: "throttled", at: now } });
      await settle(stores, again, retryAt(now + 10));
      expect(firstOf(await claimAll(stores))).toMatchObject({ attempts: 1, waitingSince: undefined });
      await stores.expectTrueCounters();
    });

    test("release: the task is as if it had never been claimed", async () => {
      await using stores = await open();
      const task = await oneClaimed(stores);
      expect(await settle(stores, task, release)).toBe(true);
      expect(await queuedTask(stores, task)).toMatchObject({ state: "pending", attempts: 0, history: [] });
      const since = stores.clock.now();
      expect(await stores.queue.source.lanes(10)).toMatchObject([{ waiting: 1, nextDue: since }]);
      const claimId = expect.any(Number) as unknown as number;
      const again = firstOf(await claimAll(stores));
      expect(again).toEqual({ ...task, claimId });
      await settle(stores, again, snoozeUntil(since, since));
      const snoozed = firstOf(await claimAll(stores));
      expect(await stores.now(stores.queue.settlements.release(snoozed))).toBe(true);
      expect(await queuedTask(stores, task)).toMatchObject({ state: "retrying", attempts: 0 });
      expect(firstOf(await claimAll(stores))).toEqual({ ...snoozed, claimId });
      await stores.expectTrueCounters();
    });

    test("keeps the first and the latest attempts of many", async () => {
      await using stores = await open();
      await settle(stores, await oneClaimed(stores), retryAt(0));
      for (let i = 1; i < 30; i++) {
        const later = { ...attempt, startedAt: i };
        const task = firstOf(await claimAll(stores));
        await settle(stores, task, { kind: "retry", attempt: later, availableAt: stores.clock.now() });
      }
      const { history, attempts } = firstOf(await claimAll(stores));
      expect(attempts).toBe(30);
      expect(history.length).toBe(ATTEMPTS_KEPT_MAX);
      expect([history[0]?.startedAt, history[1]?.startedAt, history.at(-1)?.startedAt]).toEqual([1000, 11, 29]);
    });

    test("holds across a crash once it has resolved", async () => {
      await using stores = await open();
      const [done, failed, waiting] = await claimedJob(stores, 3);
      await settle(stores, present(done), complete);
      await settle(stores, present(failed), discard);
      await settle(stores, present(waiting), retryAt(stores.clock.now()));
      const { jobId } = present(done).job;
      const before = await everythingOf(stores, jobId);
      await stores.crash();
      expect(await recover(stores)).toMatchObject({ interrupted: 0 });
      expect(await everythingOf(stores, jobId)).toEqual(before);
    });
  });
}

function describeStaleClaims(open: OpenBackend): void {
  describe("a stale claim", () => {
    const verdicts: readonly Verdict[] = [
      complete,
      discard,
      { kind: "cancel" },
      release,
      retryAt(5),
      snoozeUntil(5, 5),
    ];
    for (const verdict of verdicts) {
      test(`cannot ${verdict.kind} a task`, async () => {
        await using stores = await open();
        const stale = await oneClaimed(stores);
        await settle(stores, stale, release);
        await stores.clock.advance(1);
        const fresh = firstOf(await claimAll(stores));
        const upload = { task: fresh.id, claimId: fresh.claimId, bucket: "artifacts", key: "k", uploadId: "u" };
        await stores.now(stores.queue.settlements.recordUpload(upload));
        const before = await everythingOf(stores, stale.job.jobId);
        expect(await settle(stores, stale, verdict)).toBe(false);
        expect(await everythingOf(stores, stale.job.jobId)).toEqual(before);
        expect(await settle(stores, fresh, complete)).toBe(true);
        expect(await settle(stores, fresh, verdict)).toBe(false);
        await stores.expectTrueCounters();
      });
    }

    test("of two in one commit loses: the first counts, once", async () => {
      await using stores = await open();
      const claimed = await oneClaimed(stores, 2);
      const settles = [complete, discard, complete].map((verdict) =>
        stores.queue.settlements.settle({ claimed, verdict }),
      );
      expect(await stores.now(Promise.all(settles))).toEqual([true, false, false]);
      await stores.expectTrueCounters();
    });

    test("of before a crash cannot settle what was claimed anew, even if the wall clock went back", async () => {
      await using stores = await open();
      const stale = await oneClaimed(stores);
      await stores.crash();
      stores.clock.jump(-1);
      await recover(stores);
      const fresh = firstOf(await claimAll(stores));
      expect(fresh.claimId).not.toBe(stale.claimId);
      expect(await settle(stores, stale, complete)).toBe(false);
    });

    test("cannot release a task that waits again", async () => {
      await using stores = await open();
      const task = await oneClaimed(stores);
      await settle(stores, task, retryAt(stores.clock.now() + 5000));
      expect(await stores.now(stores.queue.settlements.release(task))).toBe(false);
      expect(await claimAll(stores)).toEqual([]);
      await stores.expectTrueCounters();
    });
  });
}

function describeEndsOfJobs(open: OpenBackend): void {
  describe("a job ends", () => {
    const ends: readonly [JobStatus, readonly Verdict[]][] = [
      ["completed", [complete, complete]],
      ["partial", [complete, discard]],
      ["partial", [discard, complete]],
      ["failed", [discard, discard]],
      ["cancelled", [complete, { kind: "cancel" }]],
    ];
    for (const [status, verdicts] of ends) {
      test(`as ${status} after ${verdicts.map(({ kind }) => kind).join(" and ")}, and that is told once`, async () => {
        await using stores = await open();
        const told: [JobHeader, JobStatus][] = [];
        stores.queue.onFinished((job, as) => told.push([job, as]));
        const tasks = await claimedJob(stores, 2);
        for (const [i, task] of tasks.entries()) {
          expect(told).toEqual([]);
          await settle(stores, task, present(verdicts[i]));
        }
        expect(told).toEqual([[firstOf(tasks).job, status]]);
        expect(await stores.queue.source.lanesAfter(0, 10)).toEqual([]);
        const job = await jobOf(stores, firstOf(tasks).job.jobId);
        expect(job).toMatchObject({ status, completedAt: stores.clock.now() });
        expect((await stores.ledger.logs(job, 0, 100, ["info"])).rows.at(-1)?.message).toBe(`job ${status}`);
        await stores.expectTrueCounters();
      });
    }

    test("in the commit that settles all of its tasks, beside another that goes on", async () => {
      await using stores = await open();
      const one = await claimedJob(stores, 3);
      const two = await claimedJob(stores, 3);
      const settles = [...one, ...two.slice(1)].map((claimed) =>
        stores.queue.settlements.settle({ claimed, verdict: complete }),
      );
      await stores.now(Promise.all(settles));
      const statusOf = async (tasks: ClaimedTask[]) => (await jobOf(stores, firstOf(tasks).job.jobId)).status;
      expect([await statusOf(one), await statusOf(two)]).toEqual(["completed", "in_progress"]);
      await stores.expectTrueCounters();
    });
  });
}
