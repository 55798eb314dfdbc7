import { describe, expect, test } from "bun:test";
import type { Lane } from "../../../src/jobs/lane.ts";
import { IdempotencyTakenError, QueueFullError } from "../../../src/jobs/stores/acceptor.ts";
import { rejectionOf } from "../../support/rejection.ts";
import { acceptance, claimAll, complete, firstOf, newJob, newTasks, settle } from "../../support/sample-jobs.ts";
import { jobOf, type OpenBackend, outcomesOf, recover, tasksOf } from "./backend.ts";

/** The promises of `Acceptor`, without those of staged jobs. */
export function describeAcceptor(open: OpenBackend): void {
  describeAcceptedJobs(open);
  describeRefusals(open);
  describeIdempotency(open);
}

function describeAcceptedJobs(open: OpenBackend): void {
  describe("an accepted job", () => {
    test("has its tasks, its lanes by host, and is in the ledger when accept resolves", async () => {
      await using stores = await open();
      const lanes: Lane[] = [];
      stores.queue.source.onLane((lane) => lanes.push(lane));
      const job = newJob({ priority: "high", tenant: "t1", jobType: "gallery" });
      const tasks = newTasks(5, ["a.test", "b.test:8080"]);
      const header = await stores.now(stores.queue.acceptor.accept(acceptance(tasks, { job })));

      expect(header).toEqual({ ...job, seq: header.seq });
      const shown = lanes.map(({ host, waiting, nextDue, job: of }) => ({ host, waiting, nextDue, of }));
      expect(shown.toSorted((a, b) => a.host.localeCompare(b.host))).toEqual([
        { host: "a.test", waiting: 3, nextDue: job.createdAt, of: header },
        { host: "b.test:8080", waiting: 2, nextDue: job.createdAt, of: header },
      ]);
      expect(await stores.queue.source.lanes(10)).toEqual(lanes);
      const { spanId: _spanId, sampled: _sampled, ...told } = job; // the attempts' alone
      expect(await jobOf(stores, job.jobId)).toMatchObject({
        ...told,
        status: "queued",
        total: 5,
        completed: 0,
        logCount: 1,
        updatedAt: job.createdAt,
        completedAt: null,
      });
      await stores.expectTrueCounters();
    });

    test("loses no task, whatever happens once accept has resolved", async () => {
      await using stores = await open();
      const { jobId } = await stores.now(stores.queue.acceptor.accept(acceptance(7)));
      await stores.crash();
      await recover(stores);
      expect((await tasksOf(stores, await jobOf(stores, jobId))).map(({ state }) => state)).toEqual(
        Array(7).fill("pending"),
      );
      expect((await claimAll(stores)).map(({ job }) => job.jobId)).toEqual(Array(7).fill(jobId));
    });

    test("keeps every field of its tasks", async () => {
      await using stores = await open();
      const full = {
        resourceId: "bücher/ä.png",
        url: "https://cdn.test:8443/a?b=c#d",
        headers: { Referer: "https://x.test/", "X-Api-Key": "s", __proto__x: "1" },
        tags: { a: "", "": "b", ключ: "значение" },
        bucket: "artifacts",
        key: "p/bücher/ä.png",
        checksum: `sha256:${"0f".repeat(32)}`,
        size: 2 ** 40 + 1,
        contentType: "image/*",
        rejectHtml: true,
        proxyPool: "residential-us",
        attributes: { metadata: { a: "ä%", b: "" }, tags: { t: "u" }, class: "STANDARD_IA" },
      };
      const bare = { resourceId: "r", url: "http://cdn.test/", bucket: "b", key: "k" };
      const empty = { ...bare, size: 0, headers: {}, tags: {}, rejectHtml: false };
      await stores.now(stores.queue.acceptor.accept(acceptance([full, bare, empty])));
      await stores.reopen();
      const claimed = await claimAll(stores);
      expect(claimed.map(({ task }) => task)).toEqual([
        full,
        { ...bare, headers: {}, tags: {}, rejectHtml: false },
        empty,
      ]);
      expect(claimed.map(({ host }) => host)).toEqual(["cdn.test:8443", "cdn.test", "cdn.test"]);
    });

    test("keeps headers and tags whose names mean something to JavaScript", async () => {
      await using stores = await open();
      const odd = JSON.parse('{"__proto__":"p","constructor":"c","toString":"t"}') as Record<string, string>;
      await stores.now(
        stores.queue.acceptor.accept(acceptance([{ ...firstOf(newTasks(1)), headers: odd, tags: odd }])),
      );
      const { task } = firstOf(await claimAll(stores));
      expect(new Map(Object.entries(task.headers ?? {}))).toEqual(new Map(Object.entries(odd)));
      expect(new Map(Object.entries(task.tags ?? {}))).toEqual(new Map(Object.entries(odd)));
    });

    test("keeps its header across a crash", async () => {
      await using stores = await open();
      const job = newJob({ priority: "low", tenant: "t1", jobType: "gallery", sampled: true });
      const header = await stores.now(stores.queue.acceptor.accept(acceptance(1, { job })));
      await stores.crash();
      expect(firstOf(await stores.queue.source.lanes(1)).job).toEqual(header);
      expect(firstOf(await claimAll(stores)).job).toEqual(header);
    });

    test("has numbers that were never used, even after a submission failed beside it", async () => {
      await using stores = await open();
      const first = stores.queue.acceptor.accept(acceptance(3));
      const refused = stores.queue.acceptor.accept(acceptance(3, { pendingMax: 5 }));
      const last = stores.queue.acceptor.accept(acceptance(2, { pendingMax: 5 }));
      expect(await rejectionOf(stores.now(refused))).toBeInstanceOf(QueueFullError);
      const headers = await Promise.all([first, last]);
      expect(new Set(headers.map(({ seq }) => seq)).size).toBe(2);
      expect(new Set((await claimAll(stores)).map(({ id }) => id)).size).toBe(5);
      await stores.expectTrueCounters();
    });
  });
}

function describeRefusals(open: OpenBackend): void {
  test("a job id that is there already is refused, alone", async () => {
    await using stores = await open();
    const job = newJob();
    const accepts = [job, job, newJob()].map((each) => stores.queue.acceptor.accept(acceptance(1, { job: each })));
    expect(await outcomesOf(stores, accepts)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await stores.expectTrueCounters();
  });

  describe("the limit of tasks under way", () => {
    test("is exact among the members of one commit", async () => {
      await using stores = await open();
      const sizes = [4, 4, 3, 2, 1];
      const accepts = sizes.map((tasks) => stores.queue.acceptor.accept(acceptance(tasks, { pendingMax: 10 })));
      const outcomes = await outcomesOf(stores, accepts);
      expect(outcomes).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled", "rejected"]);
      expect((await stores.queue.control.depth()).pending).toBe(10);
      await stores.expectTrueCounters();
    });

    test("counts tasks that run or wait to be tried again, and none that ended", async () => {
      await using stores = await open();
      const accept = (tasks: number) => stores.now(stores.queue.acceptor.accept(acceptance(tasks, { pendingMax: 3 })));
      await accept(3);
      const task = firstOf(await claimAll(stores));
      expect(await rejectionOf(accept(1))).toBeInstanceOf(QueueFullError);
      await settle(stores, task, complete);
      await accept(1);
      expect(await stores.queue.control.depth()).toEqual({ pending: 1, running: 2, retrying: 0 });
    });

    test("counts what was staged, at the end", async () => {
      await using stores = await open();
      const job = newJob();
      const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(8)));
      const more = acceptance(3, { job, staged, pendingMax: 10 });
      expect(await rejectionOf(stores.now(stores.queue.acceptor.accept(more)))).toBeInstanceOf(QueueFullError);
      expect((await tasksOf(stores, staged)).length).toBe(8);
      await stores.now(stores.queue.acceptor.accept({ ...more, pendingMax: 11 }));
      expect((await stores.queue.control.depth()).pending).toBe(11);
      await stores.expectTrueCounters();
    });

    test("refuses a job of which nothing is written", async () => {
      await using stores = await open();
      const lanes: Lane[] = [];
      stores.queue.source.onLane((lane) => lanes.push(lane));
      const refused = acceptance(3, { pendingMax: 2 });
      expect(await rejectionOf(stores.now(stores.queue.acceptor.accept(refused)))).toBeInstanceOf(QueueFullError);
      expect(await stores.ledger.findJob(refused.job.jobId)).toBeUndefined();
      expect(await stores.queue.source.lanes(10)).toEqual([]);
      expect([lanes, await stores.queue.control.depth()]).toEqual([[], { pending: 0, running: 0, retrying: 0 }]);
      await stores.now(stores.queue.acceptor.accept({ ...refused, pendingMax: 3 }));
      await stores.expectTrueCounters();
    });
  });
}

function describeIdempotency(open: OpenBackend): void {
  const idempotency = { key: "k1", fingerprint: new Uint8Array([1, 2, 3]), answer: '{"job_id":"x"}' };

  describe("an idempotency key", () => {
    test("is remembered with the answer, across a crash, per tenant", async () => {
      await using stores = await open();
      const { seq } = await stores.now(stores.queue.acceptor.accept(acceptance(1, { idempotency })));
      await stores.crash();
      const found = await stores.queue.acceptor.findIdempotent("default", "k1");
      expect(found).toEqual({ fingerprint: new Uint8Array([1, 2, 3]), answer: idempotency.answer });
      expect(await stores.queue.acceptor.findIdempotent("other", "k1")).toBeUndefined();
      const jobs = await stores.ledger.listJobs({ idempotencyKey: "k1" }, Number.MAX_SAFE_INTEGER, 10);
      expect(jobs.map((job) => [job.tenant, job.seq])).toEqual([["default", seq]]);
    });

    test("lets one of several jobs in one commit through; nothing of the others is written", async () => {
      await using stores = await open();
      const accepts = [1, 2, 3].map(() => stores.queue.acceptor.accept(acceptance(2, { idempotency })));
      expect(await outcomesOf(stores, accepts)).toEqual(["fulfilled", "rejected", "rejected"]);
      for (const refused of accepts.slice(1)) expect(await rejectionOf(refused)).toBeInstanceOf(IdempotencyTakenError);
      expect(await stores.queue.control.depth()).toEqual({ pending: 2, running: 0, retrying: 0 });
      expect((await claimAll(stores)).length).toBe(2);
      await stores.expectTrueCounters();
    });

    test("keeps its first answer when a later job is refused", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { idempotency })));
      const other = { ...idempotency, fingerprint: new Uint8Array([9]), answer: "{}" };
      const refused = acceptance(2, { idempotency: other });
      expect(await rejectionOf(stores.now(stores.queue.acceptor.accept(refused)))).toBeInstanceOf(
        IdempotencyTakenError,
      );
      expect(await stores.queue.acceptor.findIdempotent("default", "k1")).toMatchObject({ answer: idempotency.answer });
      expect(await stores.ledger.findJob(refused.job.jobId)).toBeUndefined();
    });

    test("of one tenant is free for every other", async () => {
      await using stores = await open();
      for (const tenant of ["t1", "t2"]) {
        const answer = `{"tenant":"${tenant}"}`;
        const taken = acceptance(1, { job: newJob({ tenant }), idempotency: { ...idempotency, answer } });
        await stores.now(stores.queue.acceptor.accept(taken));
      }
      const answers = await Promise.all(["t1", "t2"].map((of) => stores.queue.acceptor.findIdempotent(of, "k1")));
      expect(answers.map((found) => found?.answer)).toEqual(['{"tenant":"t1"}', '{"tenant":"t2"}']);
    });

    test("is free after a submission under it was refused", async () => {
      await using stores = await open();
      const refused = stores.queue.acceptor.accept(acceptance(2, { idempotency, pendingMax: 1 }));
      expect(await rejectionOf(stores.now(refused))).toBeInstanceOf(QueueFullError);
      expect(await stores.queue.acceptor.findIdempotent("default", "k1")).toBeUndefined();
      await stores.now(stores.queue.acceptor.accept(acceptance(2, { idempotency })));
    });
  });
}
