import { describe, expect, test } from "bun:test";
import { LOG_LEVELS } from "../../../src/jobs/stores/ledger-reads.ts";
import type { LedgerRetention } from "../../../src/jobs/stores/retained-stores.ts";
import type { Verdict } from "../../../src/jobs/verdict.ts";
import {
  acceptance,
  claimAll,
  claimedJob,
  complete,
  discard,
  firstOf,
  newJob,
  present,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, jobOf, type OpenBackend, tasksOf } from "./backend.ts";

/** The promises of `QueueRetention`, `LedgerRetention` and `DeadLetterRetention`. */
export function describeRetention(open: OpenBackend): void {
  describeQueueRetention(open);
  describeKeys(open);
  describeLedgerRetention(open);
  describeDeadLetterRetention(open);
}

const FAR = 1000;

type EndedJob = Awaited<ReturnType<LedgerRetention["prunableJobs"]>>[number];

/** A job whose tasks all end now. */
async function endedJob(stores: BackendStores, tasks = 1, verdict: Verdict = complete) {
  const claimed = await claimedJob(stores, tasks);
  const settled = claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict }));
  await stores.now(Promise.all(settled));
  await stores.ledger.bringUpToDate();
  return await jobOf(stores, firstOf(claimed).job.jobId);
}

function describeQueueRetention(open: OpenBackend): void {
  describe("the retention of the queue", () => {
    test("finds jobs that ended before a time, without those at work and those with a dead letter", async () => {
      await using stores = await open();
      const one = await endedJob(stores);
      await stores.clock.advance(10);
      const two = await endedJob(stores);
      const dead = await endedJob(stores, 2, discard);
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      await stores.now(stores.queue.acceptor.stage(newJob(), acceptance(1).tasks));
      const { retention, deadLetters } = stores.queue;
      const now = stores.clock.now();
      expect(await retention.prunableJobs(now, 10)).toEqual([one.seq]);
      expect(await retention.prunableJobs(now + 1, 10)).toEqual([one.seq, two.seq]);
      expect(await retention.prunableJobs(now + 1, 1)).toEqual([one.seq]);
      const refs = await stores.deadLetters.oldest(now + 1, 10);
      await stores.now(deadLetters.discard(refs, "pruned"));
      expect(await retention.prunableJobs(now + 1, 10)).toEqual([one.seq, two.seq, dead.seq]);
    });

    test("removes ended jobs with their tasks, and only these", async () => {
      await using stores = await open();
      const ended = await endedJob(stores, 3);
      const dead = await endedJob(stores, 1, discard);
      const live = await stores.now(stores.queue.acceptor.accept(acceptance(2)));
      const { retention } = stores.queue;
      expect(await stores.now(retention.pruneJobs([ended.seq, dead.seq, live.seq, 999_999], FAR))).toBe(1);
      expect(await retention.keptJobs([ended.seq, dead.seq, live.seq])).toEqual([dead.seq, live.seq]);
      expect(await tasksOf(stores, ended)).toEqual([]);
      expect(await jobOf(stores, ended.jobId)).toEqual(ended);
      expect((await stores.ledger.results(ended, 0, 10)).length).toBe(3);
      expect(await stores.queue.control.depth()).toEqual({ pending: 2, running: 0, retrying: 0 });
    });

    test("removes a large job in several steps, across a crash", async () => {
      await using stores = await open();
      const { seq, ...job } = await endedJob(stores, 25);
      const step = () => stores.now(stores.queue.retention.pruneJobs([seq], 10));
      expect(await step()).toBe(0);
      const left = (await tasksOf(stores, { seq, ...job })).length;
      expect(left).toBeWithin(1, 25);
      await stores.crash();
      expect(await stores.queue.retention.prunableJobs(stores.clock.now() + 1, 10)).toEqual([seq]);
      let gone = 0;
      for (let steps = 0; gone === 0 && steps < 10; steps++) gone = await step();
      expect([gone, await stores.queue.retention.keptJobs([seq])]).toEqual([1, []]);
    });

    test("leaves a job that a replay has opened again", async () => {
      await using stores = await open();
      const dead = await endedJob(stores, 1, discard);
      const { contents: task, history, task: id } = firstOf(await stores.deadLetters.full({}, FAR, 1));
      await stores.now(stores.queue.deadLetters.replay([{ id, task, history, availableAt: 0 }]));
      expect(await stores.queue.retention.prunableJobs(stores.clock.now() + 1, 10)).toEqual([]);
      expect(await stores.now(stores.queue.retention.pruneJobs([dead.seq], FAR))).toBe(0);
      expect((await claimAll(stores)).length).toBe(1);
    });

    test("remembers when the clock was last found right", async () => {
      await using stores = await open();
      expect(await stores.queue.retention.clockTrustedAt()).toBe(0);
      const now = stores.clock.now();
      await stores.now(stores.queue.retention.noteTrustedClock(now));
      await stores.crash();
      expect(await stores.queue.retention.clockTrustedAt()).toBe(now);
    });

    test("has no page to give back where nothing was removed", async () => {
      await using stores = await open();
      for (const part of [stores.queue.retention, stores.ledger, stores.deadLetters]) {
        expect(await part.giveBackPages(100)).toBe(false);
      }
    });
  });
}

function describeKeys(open: OpenBackend): void {
  test("idempotency keys are forgotten after a time, without those of jobs at work", async () => {
    await using stores = await open();
    const keys = ["old", "at work", "new"];
    for (const key of keys) {
      const idempotency = { key, fingerprint: new Uint8Array(32), answer: "{}" };
      const job = newJob({ createdAt: stores.clock.now() });
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { job, idempotency })));
      const task = firstOf(await claimAll(stores));
      if (key !== "at work") await settle(stores, task, complete);
      await stores.clock.advance(10);
    }
    const { acceptor, retention } = stores.queue;
    const before = stores.clock.now() - 10;
    expect(await stores.now(retention.pruneKeys(before, 10))).toBe(1);
    const found = await Promise.all(keys.map((key) => acceptor.findIdempotent("default", key)));
    expect(found.map((answer) => answer !== undefined)).toEqual([false, true, true]);
    expect(await stores.now(retention.pruneKeys(before, 10))).toBe(0);

    const listed = async (key: string) => (await stores.ledger.listJobs({ idempotencyKey: key }, FAR, 10)).length;
    expect([await listed("old"), await listed("new")]).toEqual([1, 1]);
    expect([await stores.ledger.pruneKeys(before, 1), await stores.ledger.pruneKeys(before, 10)]).toEqual([1, 1]);
    expect([await listed("old"), await listed("at work"), await listed("new")]).toEqual([0, 0, 1]);
    const again = { key: "old", fingerprint: new Uint8Array(32), answer: '{"again":1}' };
    await stores.now(acceptor.accept(acceptance(1, { idempotency: again })));
    expect((await acceptor.findIdempotent("default", "old"))?.answer).toBe(again.answer);
  });
}

function describeLedgerRetention(open: OpenBackend): void {
  const START: EndedJob = { completedAt: 0, seq: 0 };

  describe("the retention of the ledger", () => {
    test("finds jobs that ended before a time, the oldest first, page by page", async () => {
      await using stores = await open();
      const [first, second] = await Promise.all([claimedJob(stores), claimedJob(stores)]);
      const late = firstOf([...first, ...second]);
      await stores.clock.advance(10);
      const ended: EndedJob[] = [];
      for (let at = 0; at < 3; at++) {
        const { seq, completedAt } = await endedJob(stores);
        ended.push({ seq, completedAt: present(completedAt ?? undefined) });
      }
      await stores.clock.advance(10);
      await settle(stores, late, complete);
      ended.push({ seq: late.job.seq, completedAt: stores.clock.now() });
      const { ledger } = stores;
      const before = stores.clock.now() + 1;
      expect(await ledger.prunableJobs(before, START, 10)).toEqual(ended);
      expect(await ledger.prunableJobs(before - 1, START, 10)).toEqual(ended.slice(0, 3));
      expect(await ledger.prunableJobs(before, present(ended[1]), 1)).toEqual(ended.slice(2, 3));
    });

    test("removes jobs with their results and logs; a job that is gone in part is hidden", async () => {
      await using stores = await open();
      const large = await endedJob(stores, 20);
      const small = await endedJob(stores, 1);
      const { ledger } = stores;
      expect(await ledger.pruneJobs([large.seq], 5)).toBe(0);
      expect(await ledger.findJob(large.jobId)).toBeUndefined();
      const counted = async (filter: { jobType?: string; tenant?: string }) =>
        (await ledger.countJobs(filter, 10)).counts.completed;
      for (const filter of [{}, { tenant: "default" }, { tenant: "default", jobType: "default" }])
        expect([filter, await counted(filter)]).toEqual([filter, 1]);
      expect((await ledger.listJobs({}, FAR, 10)).map(({ seq }) => seq)).toEqual([small.seq]);
      let gone = 0;
      for (let steps = 0; gone === 0 && steps < 50; steps++) gone = await ledger.pruneJobs([large.seq], 10);
      expect(gone).toBe(1);
      expect(await ledger.results(large, 0, 100)).toEqual([]);
      expect((await ledger.logs(large, 0, 100, LOG_LEVELS)).rows).toEqual([]);
      expect(await jobOf(stores, small.jobId)).toEqual(small);
      expect((await ledger.results(small, 0, 10)).length).toBe(1);
    });

    test("removes the logs of ended jobs; their counters and results stay", async () => {
      await using stores = await open();
      const old = await endedJob(stores, 10);
      await stores.clock.advance(10);
      const young = await endedJob(stores, 1);
      const { ledger } = stores;
      const before = stores.clock.now();
      let rows = 0;
      for (let steps = 0, more = true; more && steps < 20; steps++) {
        const pruned = await ledger.pruneLogs(before, 4);
        rows += pruned.rows;
        more = pruned.more;
      }
      expect(rows).toBe(old.logCount);
      expect(await ledger.pruneLogs(before, 4)).toEqual({ rows: 0, more: false });
      expect((await ledger.logs(old, 0, 100, LOG_LEVELS)).rows).toEqual([]);
      expect((await ledger.logs(young, 0, 100, LOG_LEVELS)).rows.length).toBe(young.logCount);
      expect(await jobOf(stores, old.jobId)).toEqual(old);
      expect((await ledger.results(old, 0, 100)).length).toBe(10);
    });
  });
}

function describeDeadLetterRetention(open: OpenBackend): void {
  describe("the retention of dead letters", () => {
    test("finds those from before a time, the oldest first", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 3);
      const order = [2, 0, 1].map((at) => present(tasks[at]));
      for (const task of order) {
        await stores.clock.advance(10);
        await settle(stores, task, discard);
      }
      const refs = order.map(({ id, task }) => ({ id, resourceId: task.resourceId }));
      const now = stores.clock.now();
      expect(await stores.deadLetters.oldest(now + 1, 10)).toEqual(refs);
      expect(await stores.deadLetters.oldest(now, 10)).toEqual(refs.slice(0, 2));
      expect(await stores.deadLetters.oldest(now, 1)).toEqual(refs.slice(0, 1));
    });

    test("knows the size of all, which grows with them", async () => {
      await using stores = await open();
      const before = await stores.deadLetters.bytes();
      await endedJob(stores, 500, discard);
      const after = await stores.deadLetters.bytes();
      expect(after - before).toBeGreaterThan(500 * 100);
      const refs = await stores.deadLetters.oldest(stores.clock.now() + 1, 1000);
      await stores.now(stores.queue.deadLetters.discard(refs, "pruned"));
      expect([refs.length, await stores.deadLetters.size()]).toEqual([500, 0]);
      expect(await stores.deadLetters.bytes()).toBeLessThan(after);
    });
  });
}
