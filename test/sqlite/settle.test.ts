import { describe, expect, test } from "bun:test";
import type { JobHeader, JobStatus } from "../../src/jobs/job.ts";
import type { Lane } from "../../src/jobs/lane.ts";
import { ATTEMPTS_KEPT_MAX, type ClaimedTask } from "../../src/jobs/task.ts";
import type { UploadTraces, Verdict } from "../../src/jobs/verdict.ts";
import { turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { countedUntil, openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  discard,
  newJob,
  newTasks,
  release,
  result,
  retryAt,
  settle,
  snoozeUntil,
} from "./sample-jobs.ts";

interface TaskRow {
  state: string;
  available_at: number | null;
  claim_id: number | null;
  attempts: number;
  waiting_class: string | null;
  waiting_since: number | null;
  size: number;
}

function rowOf(stores: TestStores, id = 1): TaskRow | undefined {
  return stores.read<TaskRow>(
    "queue",
    `SELECT state, available_at, claim_id, attempts, waiting_class, waiting_since, length(payload) AS size
     FROM tasks WHERE id = ?`,
    id,
  )[0];
}

async function oneClaimed(stores: TestStores, tasks = 1): Promise<ClaimedTask> {
  return firstOf(await claimedJob(stores, tasks));
}

function firstOf<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new Error("there is none");
  return first;
}

const dump = (stores: TestStores) => [
  ...["tasks", "jobs", "lanes", "depth", "uploads"].map((table) => stores.read("queue", `SELECT * FROM ${table}`)),
  stores.read("ledger", "SELECT * FROM results"),
  stores.read("ledger", "SELECT * FROM logs"),
];

describe("a verdict", () => {
  test("complete: the result is in the ledger, the contents are gone from the queue", async () => {
    await using stores = openTestStores();
    const task = await oneClaimed(stores);
    await stores.clock.advance(500);
    expect(await settle(stores, task, complete)).toBe(true);
    expect(rowOf(stores)).toMatchObject({ state: "completed", available_at: null, claim_id: null, size: 0 });
    expect(await stores.stores.ledger.result(task.id)).toEqual({
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
    expect(await stores.stores.ledger.findJob(task.job.jobId)).toMatchObject({
      status: "completed",
      completed: 1,
      bytes: result.bytes,
      completedAt: stores.clock.now(),
    });
    await expectTrueCounters(stores);
  });

  test("retry: an attempt is spent, the task waits as retrying", async () => {
    await using stores = openTestStores();
    const task = await oneClaimed(stores);
    const due = stores.clock.now() + 5000;
    const lanes: Lane[] = [];
    stores.queue.source.onLane((lane) => lanes.push(lane));
    expect(await settle(stores, task, retryAt(due))).toBe(true);
    expect(rowOf(stores)).toMatchObject({ state: "retrying", available_at: due, claim_id: null, attempts: 1 });
    expect(lanes).toMatchObject([{ waiting: 1, nextDue: due }]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 1 });
    await stores.clock.advance(5000);
    const again = firstOf(await claimAll(stores));
    expect(again).toMatchObject({ attempts: 1, history: [attempt], waitingSince: undefined, task: task.task });
    expect(again.claimId).toBeGreaterThan(task.claimId);
    await expectTrueCounters(stores);
  });

  test("snooze: no attempt is spent, and since when it waits is kept until the next retry", async () => {
    await using stores = openTestStores();
    const now = stores.clock.now();
    await settle(stores, await oneClaimed(stores), snoozeUntil(now + 10, now));
    expect(rowOf(stores)).toMatchObject({ state: "retrying", attempts: 0, waiting_class: "throttled" });
    await stores.clock.advance(10);
    const again = firstOf(await claimAll(stores));
    expect(again).toMatchObject({ attempts: 0, waitingSince: { class: "throttled", at: now } });
    await settle(stores, again, retryAt(now + 20));
    expect(rowOf(stores)).toMatchObject({ attempts: 1, waiting_class: null, waiting_since: null });
    await expectTrueCounters(stores);
  });

  test("release: the task is as if it had never been claimed", async () => {
    await using stores = openTestStores();
    const task = await oneClaimed(stores);
    expect(await settle(stores, task, release)).toBe(true);
    expect(rowOf(stores)).toMatchObject({ state: "pending", attempts: 0, available_at: stores.clock.now() });
    const since = stores.clock.now();
    await settle(stores, firstOf(await claimAll(stores)), snoozeUntil(since, since));
    const snoozed = firstOf(await claimAll(stores));
    await settle(stores, snoozed, release);
    expect(rowOf(stores)).toMatchObject({ state: "retrying", waiting_class: "throttled", waiting_since: since });
    await expectTrueCounters(stores);
  });

  test("discard: a dead letter holds the task with its headers and attempts, the queue no longer", async () => {
    await using stores = openTestStores();
    const [one = never()] = newTasks(1);
    const job = newJob({ tenant: "t1" });
    await stores.now(stores.queue.acceptor.accept(acceptance([{ ...one, headers: { Cookie: "secret" } }], { job })));
    await settle(stores, firstOf(await claimAll(stores)), retryAt(stores.clock.now()));
    const task = firstOf(await claimAll(stores));
    await settle(stores, task, { ...discard, attempts: 2 } as Verdict);

    expect(rowOf(stores)).toMatchObject({ state: "failed", size: 0 });
    const deadLetter = await stores.stores.deadLetters.find(task.id);
    expect(deadLetter).toMatchObject({
      task: task.id,
      jobId: job.jobId,
      tenant: "t1",
      resourceId: "r0",
      host: "origin.test",
      code: "DOWNLOAD_HTTP_404",
      attempts: 2,
      failedAt: stores.clock.now(),
    });
    expect(deadLetter?.history.map(({ code }) => code)).toEqual(["DOWNLOAD_HTTP_502", "DOWNLOAD_HTTP_404"]);
    expect(await stores.stores.ledger.result(task.id)).toMatchObject({
      state: "failed",
      httpStatus: 404,
      errorCode: "DOWNLOAD_HTTP_404",
      attempts: 2,
      integrity: null,
      sha256: null,
    });
    expect(stores.read("queue", "SELECT 1 FROM tasks WHERE instr(payload, 'secret') > 0")).toEqual([]);
    expect(await stores.stores.deadLetters.size()).toBe(1);
    await expectTrueCounters(stores);
  });

  test("keeps the first and the latest attempts of many", async () => {
    await using stores = openTestStores();
    await claimedJob(stores).then(([task = never()]) => settle(stores, task, retryAt(0)));
    for (let i = 1; i < 30; i++) {
      const task = firstOf(await claimAll(stores));
      await settle(stores, task, {
        kind: "retry",
        attempt: { ...attempt, startedAt: i },
        availableAt: stores.clock.now(),
      });
    }
    const { history, attempts } = firstOf(await claimAll(stores));
    expect(attempts).toBe(30);
    expect(history.length).toBe(ATTEMPTS_KEPT_MAX);
    expect([history[0]?.startedAt, history[1]?.startedAt, history.at(-1)?.startedAt]).toEqual([1000, 11, 29]);
  });
});

describe("a stale claim", () => {
  const verdicts: readonly Verdict[] = [complete, discard, release, retryAt(5), snoozeUntil(5, 5)];
  for (const verdict of verdicts) {
    test(`cannot ${verdict.kind} a task`, async () => {
      await using stores = openTestStores();
      const stale = await oneClaimed(stores);
      await settle(stores, stale, release);
      await stores.clock.advance(1);
      const fresh = firstOf(await claimAll(stores));
      await stores.now(stores.queue.settlements.recordUpload({ task: 1, claimId: fresh.claimId, ...UPLOAD }));
      const before = dump(stores);
      expect(await settle(stores, stale, verdict)).toBe(false);
      expect(dump(stores)).toEqual(before);
      expect(await settle(stores, fresh, complete)).toBe(true);
      expect(await settle(stores, fresh, verdict)).toBe(false);
      await expectTrueCounters(stores);
    });
  }

  test("of two in one commit loses: the first counts, once", async () => {
    await using stores = openTestStores();
    const task = await oneClaimed(stores, 2);
    const settles = [complete, discard, complete].map((verdict) =>
      stores.queue.settlements.settle({ claimed: task, verdict }),
    );
    stores.queue.flush();
    expect(await Promise.all(settles)).toEqual([true, false, false]);
    await expectTrueCounters(stores);
  });

  test("of before a crash cannot settle what was claimed anew, even if the wall clock went back", async () => {
    await using stores = openTestStores();
    const stale = await oneClaimed(stores);
    stores.crash();
    stores.clock.jump(-1);
    await stores.queue.recover(() => Promise.resolve());
    const fresh = firstOf(await claimAll(stores));
    expect(fresh.claimId).not.toBe(stale.claimId);
    expect(await settle(stores, stale, complete)).toBe(false);
  });
});

const UPLOAD = { bucket: "artifacts", key: "k", uploadId: "u" };

const uploadsIn = (stores: TestStores) => stores.read("queue", "SELECT claim_id, upload_id FROM uploads");
const orphansIn = (stores: TestStores) =>
  stores.read<{ kind: string; name: string }>("queue", "SELECT kind, name FROM orphans ORDER BY kind, name");
const traces = (more: Partial<UploadTraces>): UploadTraces => ({
  uploadBegan: false,
  probeOpen: false,
  token: "token",
  closed: new Set(),
  ...more,
});

describe("recorded uploads", () => {
  test("of a claim go with its settlement where they are closed, and are orphans where they are not", async () => {
    await using stores = openTestStores();
    const early = await oneClaimed(stores);
    await stores.now(stores.queue.settlements.recordUpload({ task: 1, claimId: early.claimId, ...UPLOAD }));
    stores.crash();
    await stores.clock.advance(1);
    await stores.queue.recover(() => Promise.resolve());
    const late = firstOf(await claimAll(stores));
    for (const uploadId of ["u", "u2", "u3"]) {
      await stores.now(stores.queue.settlements.recordUpload({ task: 1, claimId: late.claimId, ...UPLOAD, uploadId }));
    }
    const upload = traces({ closed: new Set(["u", "u2"]) });
    await stores.now(stores.queue.settlements.settle({ claimed: late, verdict: complete, upload }));
    expect(uploadsIn(stores)).toEqual([{ claim_id: early.claimId, upload_id: "u" }]);
    expect(orphansIn(stores)).toEqual([{ kind: "upload", name: "u3" }]);
    await stores.now(stores.queue.orphans.adopt());
    expect(uploadsIn(stores)).toEqual([]);
    expect(orphansIn(stores).map(({ name }) => name)).toEqual(["u", "u3"]);
  });

  test("of a running claim are nobody's to take over", async () => {
    await using stores = openTestStores();
    const { claimId } = await oneClaimed(stores);
    await stores.now(stores.queue.settlements.recordUpload({ task: 1, claimId, ...UPLOAD }));
    await stores.now(stores.queue.orphans.adopt());
    expect([uploadsIn(stores).length, orphansIn(stores)]).toEqual([1, []]);
  });
});

describe("an upload that began", () => {
  const retry: Verdict = { kind: "retry", attempt, availableAt: 0 };
  const snooze: Verdict = { kind: "snooze", attempt, availableAt: 0, waitingSince: { class: "unavailable", at: 0 } };
  const ends: Verdict[] = [retry, snooze, release, { kind: "cancel" }, discard];

  test.each(ends.map((verdict) => [verdict.kind, verdict] as const))("is an orphan after %s", async (_, verdict) => {
    for (const uploadBegan of [true, false]) {
      await using stores = openTestStores();
      const claimed = await oneClaimed(stores);
      await stores.now(stores.queue.settlements.settle({ claimed, verdict, upload: traces({ uploadBegan }) }));
      expect(orphansIn(stores)).toEqual(uploadBegan ? [{ kind: "object", name: "token" }] : []);
      const [task] = stores.read<{ may_have_stored: number }>("queue", "SELECT may_have_stored FROM tasks");
      expect(task?.may_have_stored).toBe(uploadBegan ? 1 : 0);
    }
  });

  test("is one by its key alone where what found out about the server may be open, however the attempt ends", async () => {
    for (const verdict of [complete, ...ends]) {
      await using stores = openTestStores();
      const claimed = await oneClaimed(stores);
      await stores.now(stores.queue.settlements.settle({ claimed, verdict, upload: traces({ probeOpen: true }) }));
      expect(orphansIn(stores)).toEqual([{ kind: "upload", name: "" }]);
    }
  });

  test("is no orphan where nothing comes late, and none any more once its task is completed", async () => {
    await using stores = openTestStores();
    const first = await oneClaimed(stores);
    const nothingLate = traces({ uploadBegan: true, token: undefined });
    await stores.now(stores.queue.settlements.settle({ claimed: first, verdict: release, upload: nothingLate }));
    expect(orphansIn(stores)).toEqual([]);
    const second = firstOf(await claimAll(stores));
    expect(second.mayHaveStored).toBe(true);
    await stores.now(
      stores.queue.settlements.settle({ claimed: second, verdict: release, upload: traces({ uploadBegan: true }) }),
    );
    expect(orphansIn(stores).length).toBe(1);
    const third = firstOf(await claimAll(stores));
    await stores.now(
      stores.queue.settlements.settle({
        claimed: third,
        verdict: complete,
        upload: traces({ uploadBegan: true, token: "own" }),
      }),
    );
    expect(orphansIn(stores)).toEqual([]);
  });

  test("was under way at a crash, and is known by the token of its claim, where the storage stores late", async () => {
    for (const storesLate of [true, false]) {
      await using stores = openTestStores();
      await stores.queue.recover(() => Promise.resolve(), storesLate);
      const token = stores.queue.orphans.tokenOf(await oneClaimed(stores));
      stores.crash();
      await stores.queue.recover(() => Promise.resolve(), storesLate);
      expect(orphansIn(stores)).toEqual(storesLate ? [{ kind: "object", name: token }] : []);
      const again = firstOf(await claimAll(stores));
      expect(stores.queue.orphans.tokenOf(again)).not.toBe(token);
      await settle(stores, again, complete);
      expect(orphansIn(stores)).toEqual([]);
    }
  });
});

describe("a job ends", () => {
  const ends: readonly [JobStatus, readonly Verdict[]][] = [
    ["completed", [complete, complete]],
    ["partial", [complete, discard]],
    ["partial", [discard, complete]],
    ["failed", [discard, discard]],
  ];
  for (const [status, verdicts] of ends) {
    test(`as ${status} after ${verdicts.map(({ kind }) => kind).join(" and ")}, and that is told once`, async () => {
      await using stores = openTestStores();
      const told: [JobHeader, JobStatus][] = [];
      const shown: ReturnType<typeof stores.stores.ledger.findJob>[] = [];
      stores.queue.onFinished((job, as) => {
        shown.push(stores.stores.ledger.findJob(job.jobId));
        told.push([job, as]);
      });
      const tasks = await claimedJob(stores, 2);
      for (const [i, task] of tasks.entries()) {
        expect(told).toEqual([]);
        await settle(stores, task, verdicts[i] ?? complete);
      }
      expect(told).toEqual([[firstOf(tasks).job, status]]);
      expect((await Promise.all(shown)).map((job) => job?.status)).toEqual([status]);
      expect(stores.read("queue", "SELECT * FROM lanes")).toEqual([]);
      const job = (await stores.stores.ledger.findJob(firstOf(tasks).job.jobId)) ?? never();
      expect(job).toMatchObject({ status, completedAt: stores.clock.now() });
      expect((await stores.stores.ledger.logs(job, 0, 100, ["info"])).rows.at(-1)?.message).toBe(`job ${status}`);
      await expectTrueCounters(stores);
    });
  }

  test("in the commit that settles all of its tasks, beside another that goes on", async () => {
    await using stores = openTestStores();
    const one = await claimedJob(stores, 3);
    const two = await claimedJob(stores, 3);
    const settles = [...one, ...two.slice(1)].map((claimed) =>
      stores.queue.settlements.settle({ claimed, verdict: complete }),
    );
    stores.queue.flush();
    await Promise.all(settles);
    const statusOf = async ([task]: ClaimedTask[]) =>
      (await stores.stores.ledger.findJob(task?.job.jobId ?? ""))?.status;
    expect([await statusOf(one), await statusOf(two)]).toEqual(["completed", "in_progress"]);
    await expectTrueCounters(stores);
  });

  test("with very many lanes, which go a thousand at a time, and with retention if the process dies before", async () => {
    await using stores = openTestStores();
    const hosts = Array.from({ length: 2500 }, (_, i) => `h${i}.test`);
    const job = newJob({ createdAt: stores.clock.now() });
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(2500, hosts), { job })));
    const claimed = await claimAll(stores);
    const settled = Promise.all(
      claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict: complete })),
    );
    stores.queue.flush();
    await settled;
    expect(stores.read("queue", "SELECT id FROM lanes").length).toBe(1500);
    stores.crash();
    expect(stores.read("queue", "SELECT id FROM lanes").length).toBe(1500);
    const before = stores.clock.now() + 1;
    for (
      let jobs = stores.queue.retention.prunableJobs(before, 10);
      jobs.length > 0;
      jobs = stores.queue.retention.prunableJobs(before, 10)
    ) {
      await stores.now(stores.queue.retention.pruneJobs(jobs, 400));
    }
    expect(stores.read("queue", "SELECT id FROM lanes").length).toBe(0);
  });

  test("with very many lanes, in the background; an acceptance and a cancel tell of them a page at a time", async () => {
    await using stores = openTestStores();
    const hosts = Array.from({ length: 2500 }, (_, i) => `h${i}.test`);
    const job = newJob({ createdAt: stores.clock.now() });
    let turns = 0;
    const toldIn = new Map<number, number>();
    const told = new Set<number>();
    stores.queue.source.onLane(({ id }) => {
      toldIn.set(turns, (toldIn.get(turns) ?? 0) + 1);
      told.add(id);
    });
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(2500, hosts), { job })));
    while (told.size < 2500) {
      turns++;
      await turn();
    }
    expect([...toldIn.values()]).toEqual([500, 500, 500, 500, 500]);
    expect(stores.read("queue", "SELECT count(*) AS hosts, sum(tasks) AS tasks FROM waits")).toEqual([
      { hosts: 2500, tasks: 2500 },
    ]);
    toldIn.clear();
    const cancelling = stores.queue.cancellations.request(job.jobId);
    stores.queue.flush();
    const seq = await untilDone(cancelling, () => turns++);
    expect([...toldIn.values()]).toEqual([500, 500, 500, 500, 500]);
    const tasks = (await stores.queue.cancellations.waiting(seq ?? never(), 0, 5000)).map(({ id }) => id);
    const cancelled = stores.queue.cancellations.cancelWaiting(seq ?? never(), tasks);
    stores.queue.flush();
    await cancelled;
    const gone = eventually("all lanes are gone", () =>
      stores.read("queue", "SELECT id FROM lanes").length === 0 ? true : undefined,
    );
    expect(await countedUntil(stores, "lanes", gone)).toEqual([1500, 500, 0]);
    await expectTrueCounters(stores);
  });
});

/** Counts the turns of the event loop until some work is done. */
async function untilDone<T>(work: Promise<T>, onTurn: () => void): Promise<T> {
  let isDone = false;
  void work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await turn();
    onTurn();
  }
  return await work;
}

function never(): never {
  throw new Error("something is missing");
}
