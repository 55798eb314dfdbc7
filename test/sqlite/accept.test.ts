import { describe, expect, test } from "bun:test";
import type { Lane } from "../../src/jobs/lane.ts";
import { IdempotencyTakenError, QueueFullError } from "../../src/jobs/stores/acceptor.ts";
import { rejectionOf } from "../support/rejection.ts";
import { countedUntil, openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { acceptance, claimAll, complete, newJob, newTasks, settle } from "./sample-jobs.ts";

const countOf = (stores: TestStores, table: string) =>
  stores.read<{ n: number }>("queue", `SELECT count(*) AS n FROM ${table}`)[0]?.n;

describe("an accepted job", () => {
  test("has its tasks, its lanes by host, and is in the ledger when accept resolves", async () => {
    await using stores = openTestStores();
    const lanes: Lane[] = [];
    stores.queue.source.onLane((lane) => lanes.push(lane));
    const job = newJob({ priority: "high", tenant: "t1", jobType: "gallery" });
    const tasks = newTasks(5, ["a.test", "b.test:8080"]);
    const header = await stores.now(stores.queue.acceptor.accept(acceptance(tasks, { job })));

    expect(header).toEqual({ ...job, seq: 1 });
    expect(lanes.map(({ host, waiting, nextDue, job: of }) => ({ host, waiting, nextDue, of }))).toEqual([
      { host: "a.test", waiting: 3, nextDue: job.createdAt, of: header },
      { host: "b.test:8080", waiting: 2, nextDue: job.createdAt, of: header },
    ]);
    expect(await stores.queue.source.lanes(10)).toEqual(lanes);
    const { spanId: _spanId, sampled: _sampled, ...told } = job; // the attempts' alone
    expect(await stores.stores.ledger.findJob(job.jobId)).toMatchObject({
      ...told,
      status: "queued",
      total: 5,
      completed: 0,
      logCount: 1,
      updatedAt: job.createdAt,
      completedAt: null,
    });
    await expectTrueCounters(stores);
  });

  test("keeps every field of its tasks", async () => {
    await using stores = openTestStores();
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
    };
    const bare = { resourceId: "r", url: "http://cdn.test/", bucket: "b", key: "k" };
    const empty = { ...bare, size: 0, headers: {}, tags: {}, rejectHtml: false };
    await stores.now(stores.queue.acceptor.accept(acceptance([full, bare, empty])));
    stores.reopen();
    const claimed = await claimAll(stores);
    expect(claimed.map(({ task }) => task)).toEqual([
      full,
      { ...bare, headers: {}, tags: {}, rejectHtml: false },
      empty,
    ]);
    expect(claimed.map(({ host }) => host)).toEqual(["cdn.test:8443", "cdn.test", "cdn.test"]);
  });

  test("keeps headers and tags whose names mean something to JavaScript", async () => {
    await using stores = openTestStores();
    const odd = JSON.parse('{"__proto__":"p","constructor":"c","toString":"t"}') as Record<string, string>;
    const [task] = newTasks(1);
    await stores.now(stores.queue.acceptor.accept(acceptance([{ ...(task ?? never()), headers: odd, tags: odd }])));
    const [claimed] = await claimAll(stores);
    expect(new Map(Object.entries(claimed?.task.headers ?? {}))).toEqual(new Map(Object.entries(odd)));
    expect(new Map(Object.entries(claimed?.task.tags ?? {}))).toEqual(new Map(Object.entries(odd)));
  });

  test("has numbers that were never used, even after a submission failed beside it", async () => {
    await using stores = openTestStores();
    const first = stores.queue.acceptor.accept(acceptance(3));
    const refused = stores.queue.acceptor.accept(acceptance(3, { pendingMax: 5 }));
    const last = stores.queue.acceptor.accept(acceptance(2, { pendingMax: 5 }));
    stores.queue.flush();
    expect(await rejectionOf(refused)).toBeInstanceOf(QueueFullError);
    await Promise.all([first, last]);
    expect(stores.read("queue", "SELECT id FROM tasks ORDER BY id").length).toBe(5);
    expect(new Set([(await first).seq, (await last).seq]).size).toBe(2);
    await expectTrueCounters(stores);
  });

  test("refuses a job id that is there already, alone", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const accepts = [job, job, newJob()].map((each) => stores.queue.acceptor.accept(acceptance(1, { job: each })));
    stores.queue.flush();
    const outcomes = await Promise.allSettled(accepts);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expectTrueCounters(stores);
  });
});

describe("the limit of tasks under way", () => {
  test("is exact among the members of one commit", async () => {
    await using stores = openTestStores();
    const accepts = [4, 4, 3, 2, 1].map((tasks) => stores.queue.acceptor.accept(acceptance(tasks, { pendingMax: 10 })));
    stores.queue.flush();
    const outcomes = await Promise.allSettled(accepts);
    expect(outcomes.map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "rejected",
      "fulfilled",
      "rejected",
    ]);
    expect((await stores.queue.control.depth()).pending).toBe(10);
    await expectTrueCounters(stores);
  });

  test("counts tasks that run or wait to be tried again, and none that ended", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(3, { pendingMax: 3 })));
    const [task] = await claimAll(stores);
    expect(
      await rejectionOf(stores.now(stores.queue.acceptor.accept(acceptance(1, { pendingMax: 3 })))),
    ).toBeInstanceOf(QueueFullError);
    await settle(stores, task ?? never(), complete);
    await stores.now(stores.queue.acceptor.accept(acceptance(1, { pendingMax: 3 })));
    expect(await stores.queue.control.depth()).toEqual({ pending: 1, running: 2, retrying: 0 });
  });

  test("counts what was staged, at the end", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(8)));
    const more = acceptance(3, { job, staged, pendingMax: 10 });
    expect(await rejectionOf(stores.now(stores.queue.acceptor.accept(more)))).toBeInstanceOf(QueueFullError);
    expect(countOf(stores, "tasks")).toBe(8);
    await stores.now(stores.queue.acceptor.accept({ ...more, pendingMax: 11 }));
    expect((await stores.queue.control.depth()).pending).toBe(11);
    await expectTrueCounters(stores);
  });
});

describe("an idempotency key", () => {
  const idempotency = { key: "k1", fingerprint: new Uint8Array([1, 2, 3]), answer: '{"job_id":"x"}' };

  test("is remembered with the answer, across a crash, per tenant", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(1, { idempotency })));
    stores.crash();
    const found = await stores.queue.acceptor.findIdempotent("default", "k1");
    expect(found).toEqual({ fingerprint: new Uint8Array([1, 2, 3]), answer: idempotency.answer });
    expect(await stores.queue.acceptor.findIdempotent("other", "k1")).toBeUndefined();
    expect(stores.read("ledger", "SELECT tenant, key, job FROM idempotency")).toEqual([
      { tenant: "default", key: "k1", job: 1 },
    ]);
  });

  test("lets one of several jobs in one commit through; nothing of the others is written", async () => {
    await using stores = openTestStores();
    const accepts = [1, 2, 3].map(() => stores.queue.acceptor.accept(acceptance(2, { idempotency })));
    stores.queue.flush();
    const outcomes = await Promise.allSettled(accepts);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(await rejectionOf(accepts[1] ?? never())).toBeInstanceOf(IdempotencyTakenError);
    expect(countOf(stores, "tasks")).toBe(2);
    expect((await stores.queue.control.depth()).pending).toBe(2);
  });

  test("is free after a submission under it was refused", async () => {
    await using stores = openTestStores();
    const refused = stores.queue.acceptor.accept(acceptance(2, { idempotency, pendingMax: 1 }));
    expect(await rejectionOf(stores.now(refused))).toBeInstanceOf(QueueFullError);
    expect(await stores.queue.acceptor.findIdempotent("default", "k1")).toBeUndefined();
    await stores.now(stores.queue.acceptor.accept(acceptance(2, { idempotency })));
  });
});

describe("a staged job", () => {
  test("is invisible: no lane, no depth, nothing in the ledger", async () => {
    await using stores = openTestStores();
    const lanes: Lane[] = [];
    stores.queue.source.onLane((lane) => lanes.push(lane));
    const job = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(5)));
    await stores.now(stores.queue.acceptor.stage(job, newTasks(5), staged));
    expect(lanes).toEqual([]);
    expect(await stores.queue.source.lanes(10)).toEqual([]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
    expect(await stores.stores.ledger.findJob(job.jobId)).toBeUndefined();
    expect(await claimAll(stores)).toEqual([]);
    await expectTrueCounters(stores);
  });

  test("becomes live with all its tasks, between those of others", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const first = await stores.now(stores.queue.acceptor.stage(job, newTasks(5, ["a.test", "b.test"])));
    await stores.now(stores.queue.acceptor.accept(acceptance(4)));
    const second = await stores.now(stores.queue.acceptor.stage(job, newTasks(3, ["b.test"]), first));
    await stores.now(stores.queue.acceptor.accept(acceptance(2, { job, staged: second })));

    expect(await stores.stores.ledger.findJob(job.jobId)).toMatchObject({ total: 10, firstTask: 1, lastTask: 14 });
    const record = (await stores.stores.ledger.findJob(job.jobId)) ?? never();
    expect(
      (await stores.queue.control.tasksOfJob({ job: record, afterId: 0, limit: 100 }, ["pending"])).map(({ id }) => id),
    ).toEqual([1, 2, 3, 4, 5, 10, 11, 12, 13, 14]);
    await expectTrueCounters(stores);
    expect((await claimAll(stores)).length).toBe(14);
  });

  test("is removed whole by unstage, and leaves others alone", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const first = await stores.now(stores.queue.acceptor.stage(job, newTasks(5, ["a.test", "b.test"])));
    await stores.now(stores.queue.acceptor.accept(acceptance(4)));
    const second = await stores.now(stores.queue.acceptor.stage(job, newTasks(3), first));
    await stores.now(stores.queue.acceptor.unstage(second));
    expect([countOf(stores, "jobs"), countOf(stores, "tasks"), countOf(stores, "lanes")]).toEqual([1, 4, 1]);
    await expectTrueCounters(stores);
  });

  test("goes a thousand tasks at a time, with turns of the event loop between, by unstage and at the start", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(3500, hostNames(3500))));
    const left = await countedUntil(stores, "tasks", stores.queue.acceptor.unstage(staged));
    expect(left).toEqual([3500, 2500, 1500, 500, 0]);
    expect([countOf(stores, "jobs"), countOf(stores, "lanes")]).toEqual([0, 0]);
    await stores.now(stores.queue.acceptor.stage(job, newTasks(2500)));
    stores.crash();
    expect(
      await countedUntil(
        stores,
        "tasks",
        stores.queue.recover(() => Promise.resolve()),
      ),
    ).toEqual([2500, 1500, 500, 0]);
    await expectTrueCounters(stores);
  });

  test("that is removed in part when the process dies is sound, and swept", async () => {
    await using stores = openTestStores();
    const staged = await stores.now(stores.queue.acceptor.stage(newJob(), newTasks(1500, hostNames(3))));
    const removal = stores.queue.acceptor.unstage(staged);
    removal.catch(() => {});
    stores.queue.flush();
    stores.crash();
    expect(countOf(stores, "tasks")).toBe(500);
    await expectTrueCounters(stores);
    await stores.queue.recover(() => Promise.resolve());
    expect([countOf(stores, "jobs"), countOf(stores, "tasks"), countOf(stores, "lanes")]).toEqual([0, 0, 0]);
  });

  test("is swept by recover, live ones are not", async () => {
    await using stores = openTestStores();
    const job = newJob();
    await stores.now(stores.queue.acceptor.stage(job, newTasks(5)));
    await stores.now(stores.queue.acceptor.accept(acceptance(4)));
    const live = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(live, newTasks(2)));
    await stores.now(stores.queue.acceptor.accept(acceptance(1, { job: live, staged })));
    stores.crash();
    expect(await stores.queue.recover(() => Promise.resolve())).toEqual({ interrupted: 0, suspects: 0, sweptJobs: 1 });
    expect([countOf(stores, "jobs"), countOf(stores, "tasks")]).toEqual([2, 7]);
    await expectTrueCounters(stores);
  });

  test("that was accepted is not removed by a late unstage", async () => {
    await using stores = openTestStores();
    const job = newJob();
    const staged = await stores.now(stores.queue.acceptor.stage(job, newTasks(2)));
    await stores.now(stores.queue.acceptor.accept(acceptance(1, { job, staged })));
    await stores.now(stores.queue.acceptor.unstage(staged));
    expect(countOf(stores, "tasks")).toBe(3);
    await expectTrueCounters(stores);
  });
});

const hostNames = (count: number) => Array.from({ length: count }, (_, i) => `h${i}.test`);

function never(): never {
  throw new Error("something is missing");
}
