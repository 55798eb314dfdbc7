import { describe, expect, test } from "bun:test";
import type { Lane } from "../../../src/jobs/lane.ts";
import { acceptance, claimAll, newJob, newTasks } from "../../support/sample-jobs.ts";
import { jobOf, type OpenBackend, recover, tasksOf } from "./backend.ts";

/** The promises of `Acceptor` about jobs that are written in several commits. */
export function describeStagedJobs(open: OpenBackend): void {
  describe("a staged job", () => {
    test("is invisible: no lane, no depth, nothing in the ledger", async () => {
      await using stores = await open();
      const lanes: Lane[] = [];
      stores.queue.source.onLane((lane) => lanes.push(lane));
      const job = newJob();
      const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(5)));
      await stores.now(stores.queue.acceptor.stage(job, newTasks(5), staged));
      expect(lanes).toEqual([]);
      expect(await stores.queue.source.lanes(10)).toEqual([]);
      expect(await stores.queue.source.lanesAfter(0, 10)).toEqual([]);
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
      expect(await stores.ledger.findJob(job.jobId)).toBeUndefined();
      expect(await claimAll(stores)).toEqual([]);
      await stores.expectTrueCounters();
    });

    test("has one number, and room for all tasks so far, in what stage returns", async () => {
      await using stores = await open();
      const job = newJob();
      const first = await stores.now(stores.queue.acceptor.stage(job, newTasks(5)));
      const second = await stores.now(stores.queue.acceptor.stage(job, newTasks(3), first));
      expect([first.total, first.lastTask - first.firstTask]).toEqual([5, 4]);
      expect(second).toEqual({ ...first, lastTask: second.lastTask, total: 8 });
      expect((await tasksOf(stores, second)).length).toBe(8);
    });

    test("becomes live with all its tasks, between those of others", async () => {
      await using stores = await open();
      const job = newJob();
      const first = await stores.now(stores.queue.acceptor.stage(job, newTasks(5, ["a.test", "b.test"])));
      const other = await stores.now(stores.queue.acceptor.accept(acceptance(4)));
      const second = await stores.now(stores.queue.acceptor.stage(job, newTasks(3, ["b.test"]), first));
      const live = await stores.now(stores.queue.acceptor.accept(acceptance(2, { job, staged: second })));

      expect(live).toEqual({ ...job, seq: first.seq });
      const record = await jobOf(stores, job.jobId);
      expect(record).toMatchObject({ total: 10, firstTask: first.firstTask });
      const own = (await tasksOf(stores, record, ["pending"])).map(({ id }) => id);
      const others = (await tasksOf(stores, await jobOf(stores, other.jobId))).map(({ id }) => id);
      expect([own.length, own[0], own.at(-1), others.length]).toEqual([10, record.firstTask, record.lastTask, 4]);
      expect(new Set([...own, ...others]).size).toBe(14);
      await stores.expectTrueCounters();
      expect((await claimAll(stores)).length).toBe(14);
    });

    test("is removed whole by unstage, and leaves others alone", async () => {
      await using stores = await open();
      const job = newJob();
      const first = await stores.now(stores.queue.acceptor.stage(job, newTasks(5, ["a.test", "b.test"])));
      await stores.now(stores.queue.acceptor.accept(acceptance(4)));
      const second = await stores.now(stores.queue.acceptor.stage(job, newTasks(3), first));
      await stores.now(stores.queue.acceptor.unstage(second));
      expect([await stores.queue.retention.keptJobs([second.seq]), await tasksOf(stores, second)]).toEqual([[], []]);
      expect((await stores.queue.source.lanes(10)).map(({ waiting }) => waiting)).toEqual([4]);
      await stores.expectTrueCounters();
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { job })));
    });

    test("is swept by recover, live ones are not", async () => {
      await using stores = await open();
      const gone = await stores.now(stores.queue.acceptor.stage(newJob(), newTasks(5)));
      await stores.now(stores.queue.acceptor.accept(acceptance(4)));
      const live = newJob();
      const staged = await stores.now(stores.queue.acceptor.stage(live, newTasks(2)));
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { job: live, staged })));
      await stores.crash();
      expect(await recover(stores)).toEqual({ interrupted: 0, suspects: 0, sweptJobs: 1, poison: [] });
      expect([await stores.queue.retention.keptJobs([gone.seq]), await tasksOf(stores, gone)]).toEqual([[], []]);
      expect((await stores.queue.control.depth()).pending).toBe(7);
      await stores.expectTrueCounters();
    });

    test("that was accepted is not removed by a late unstage", async () => {
      await using stores = await open();
      const job = newJob();
      const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(2)));
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { job, staged })));
      await stores.now(stores.queue.acceptor.unstage(staged));
      expect((await claimAll(stores)).length).toBe(3);
      await stores.expectTrueCounters();
    });
  });
}
