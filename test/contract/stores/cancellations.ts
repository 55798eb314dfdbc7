import { describe, expect, test } from "bun:test";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  firstOf,
  newJob,
  newTasks,
  present,
  release,
  retryAt,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, everythingOf, jobOf, type OpenBackend, tasksOf } from "./backend.ts";

/** The promises of `Cancellations`. */
export function describeCancellations(open: OpenBackend): void {
  describeRequests(open);
  describeWaitingTasks(open);
}

async function accepted(stores: BackendStores, tasks = 3) {
  const job = newJob({ createdAt: stores.clock.now() });
  return await stores.now(stores.queue.acceptor.accept(acceptance(tasks, { job })));
}

const requested = (stores: BackendStores, jobId: string) => stores.now(stores.queue.cancellations.request(jobId));

function describeRequests(open: OpenBackend): void {
  describe("a request to cancel", () => {
    test("marks the job: no task of it is claimed from then on, not even of a lane that is known", async () => {
      await using stores = await open();
      const { jobId, seq } = await accepted(stores);
      const other = await accepted(stores, 2);
      const requests = (await stores.queue.source.lanes(10)).map(({ id }) => ({ lane: id, limit: 9 }));
      expect(await requested(stores, jobId)).toEqual({ job: seq, isNew: true });
      const claimed = await stores.now(stores.queue.source.claim(requests));
      expect(claimed.map(({ job }) => job.jobId)).toEqual([other.jobId, other.jobId]);
      expect(await stores.queue.control.depth()).toEqual({ pending: 3, running: 2, retrying: 0 });
      await stores.expectTrueCounters();
    });

    test("holds from its commit until the job has ended, also across a crash", async () => {
      await using stores = await open();
      const { jobId, seq } = await accepted(stores, 1);
      const { queue } = stores;
      expect([queue.cancellations.isCancelling(seq), await queue.cancellations.cancelling()]).toEqual([false, []]);
      await requested(stores, jobId);
      expect([queue.cancellations.isCancelling(seq), await queue.cancellations.cancelling()]).toEqual([true, [seq]]);
      await stores.crash();
      const { cancellations } = stores.queue;
      expect([cancellations.isCancelling(seq), await cancellations.cancelling()]).toEqual([true, [seq]]);
      const [task] = await cancellations.waiting(seq, 0, 10);
      await stores.now(cancellations.cancelWaiting(seq, [present(task).id]));
      expect([cancellations.isCancelling(seq), await cancellations.cancelling()]).toEqual([false, []]);
      expect((await jobOf(stores, jobId)).status).toBe("cancelled");
      await stores.expectTrueCounters();
    });

    test("is one, however often it is made", async () => {
      await using stores = await open();
      const { jobId, seq } = await accepted(stores);
      const both = [1, 2].map(() => stores.queue.cancellations.request(jobId));
      expect(await stores.now(Promise.all(both))).toEqual([
        { job: seq, isNew: true },
        { job: seq, isNew: false },
      ]);
      const before = await everythingOf(stores, jobId);
      expect(await requested(stores, jobId)).toEqual({ job: seq, isNew: false });
      expect(await everythingOf(stores, jobId)).toEqual(before);
      const { rows } = await stores.ledger.logs(await jobOf(stores, jobId), 0, 100, ["warn"]);
      expect(rows.map(({ message }) => message)).toEqual(["job is being cancelled"]);
    });

    test("of a job that has ended, is staged or does not exist has no effect", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores));
      await settle(stores, task, complete);
      const staged = newJob();
      const { seq } = await stores.now(stores.queue.acceptor.stage(staged, newTasks(2)));
      for (const jobId of [task.job.jobId, staged.jobId, newJob().jobId]) {
        expect(await requested(stores, jobId)).toBeUndefined();
      }
      expect(await stores.queue.cancellations.cancelling()).toEqual([]);
      expect(stores.queue.cancellations.isCancelling(seq)).toBe(false);
      expect((await jobOf(stores, task.job.jobId)).status).toBe("completed");
    });

    test("leaves a running task to its worker, whose result counts", async () => {
      await using stores = await open();
      const [done, stopped] = await claimedJob(stores, 2);
      await requested(stores, present(done).job.jobId);
      expect(await settle(stores, present(done), complete)).toBe(true);
      expect((await jobOf(stores, present(done).job.jobId)).status).toBe("in_progress");
      expect(await settle(stores, present(stopped), { kind: "cancel" })).toBe(true);
      const { status, completed, cancelled } = await jobOf(stores, present(done).job.jobId);
      expect([status, completed, cancelled]).toEqual(["cancelled", 1, 1]);
      await stores.expectTrueCounters();
    });

    test("is told of each task that waits again, after the commit, and of no other job's", async () => {
      await using stores = await open();
      const again: number[] = [];
      stores.queue.cancellations.onWaitingAgain((job) => again.push(job));
      const [one, two] = await claimedJob(stores, 2);
      const other = firstOf(await claimedJob(stores));
      const { seq, jobId } = present(one).job;
      await requested(stores, jobId);
      expect(again).toEqual([]);
      await settle(stores, present(one), release);
      expect(again.length).toBeGreaterThan(0);
      expect((await stores.queue.cancellations.waiting(seq, 0, 10)).map(({ id }) => id)).toEqual([present(one).id]);
      again.length = 0;
      await settle(stores, present(two), retryAt(stores.clock.steady() + 5000));
      await settle(stores, other, release);
      expect(new Set(again)).toEqual(new Set([seq]));
      expect((await stores.queue.cancellations.waiting(seq, 0, 10)).length).toBe(2);
    });
  });
}

function describeWaitingTasks(open: OpenBackend): void {
  describe("waiting tasks of a job that is being cancelled", () => {
    test("come in order of their ids, page by page, with what their attempts may have stored", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 5);
      const upload = { uploadBegan: true, probeOpen: false, token: undefined, closed: new Set<string>() };
      for (const [at, claimed] of tasks.entries()) {
        const verdict = at % 2 === 0 ? retryAt(stores.clock.steady() + 1000 - at) : release;
        const traces = at === 2 ? { upload } : {};
        await stores.now(stores.queue.settlements.settle({ claimed, verdict, ...traces }));
      }
      const { seq, jobId } = firstOf(tasks).job;
      await stores.now(stores.queue.acceptor.accept(acceptance(2)));
      await requested(stores, jobId);
      const { cancellations } = stores.queue;
      const first = await cancellations.waiting(seq, 0, 3);
      const second = await cancellations.waiting(seq, present(first.at(-1)).id, 3);
      expect([first.length, second.length]).toEqual([3, 2]);
      expect([...first, ...second]).toEqual(
        tasks.map(({ id, task }, at) => ({ id, jobId, task, mayHaveStored: at === 2 })),
      );
    });

    test("are cancelled with their attempts in the ledger, and the last one ends the job", async () => {
      await using stores = await open();
      const [tried, fresh] = await claimedJob(stores, 2);
      await settle(stores, present(tried), retryAt(stores.clock.steady() + 1000));
      await settle(stores, present(fresh), release);
      const { seq, jobId } = present(tried).job;
      await requested(stores, jobId);
      await stores.clock.advance(10);
      await stores.now(stores.queue.cancellations.cancelWaiting(seq, [present(tried).id]));
      expect((await jobOf(stores, jobId)).status).toBe("in_progress");
      await stores.now(stores.queue.cancellations.cancelWaiting(seq, [present(fresh).id]));
      const job = await jobOf(stores, jobId);
      expect(job).toMatchObject({ status: "cancelled", cancelled: 2, completedAt: stores.clock.now() });
      const shown = (await stores.ledger.results(job, 0, 10)).map(({ state, attempts, history }) => [
        state,
        attempts,
        history,
      ]);
      expect(shown).toEqual([
        ["cancelled", 1, [attempt]],
        ["cancelled", 0, []],
      ]);
      expect((await tasksOf(stores, job)).map(({ task }) => task)).toEqual([undefined, undefined]);
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
      await stores.expectTrueCounters();
    });

    test("are cancelled once; a task that runs, has ended, or is another job's stays as it is", async () => {
      await using stores = await open();
      const [running, done, waiting] = await claimedJob(stores, 3);
      await settle(stores, present(done), complete);
      await settle(stores, present(waiting), release);
      const other = await accepted(stores, 1);
      const { seq, jobId } = present(running).job;
      const own = (await tasksOf(stores, await jobOf(stores, jobId))).map(({ id }) => id);
      const others = (await tasksOf(stores, await jobOf(stores, other.jobId))).map(({ id }) => id);
      expect([own.length, others.length]).toEqual([3, 1]);
      await requested(stores, jobId);
      const ids = [...own, ...others, ...own];
      const { cancellations } = stores.queue;
      await stores.now(Promise.all([cancellations.cancelWaiting(seq, ids), cancellations.cancelWaiting(seq, ids)]));
      const states = (await tasksOf(stores, await jobOf(stores, jobId))).map(({ state }) => state);
      expect(states).toEqual(["pending", "completed", "cancelled"]); // no worker has started the first one
      expect(await jobOf(stores, jobId)).toMatchObject({ status: "in_progress", completed: 1, cancelled: 1 });
      expect(firstOf(await claimAll(stores)).job.jobId).toBe(other.jobId);
      expect(await settle(stores, present(running), complete)).toBe(true);
      await stores.expectTrueCounters();
    });
  });
}
