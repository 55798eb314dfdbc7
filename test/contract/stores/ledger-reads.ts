import { describe, expect, test } from "bun:test";
import { type JobFilter, type JobRecord, LOG_LEVELS } from "../../../src/jobs/stores/ledger-reads.ts";
import type { ClaimedTask } from "../../../src/jobs/task.ts";
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
  result,
  retryAt,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, jobOf, type OpenBackend } from "./backend.ts";

/** The promises of `LedgerReads`. */
export function describeLedgerReads(open: OpenBackend): void {
  describeFreshness(open);
  describeLists(open);
  describeResults(open);
  describeLogs(open);
}

const ALL = Number.MAX_SAFE_INTEGER;

function describeFreshness(open: OpenBackend): void {
  describe("the ledger", () => {
    test("shows a job's begin and its end as soon as the change has resolved", async () => {
      await using stores = await open();
      const { jobId } = await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      expect((await jobOf(stores, jobId)).status).toBe("queued");
      const task = firstOf(await claimAll(stores));
      expect((await jobOf(stores, jobId)).status).toBe("in_progress");
      await settle(stores, task, complete);
      expect(await jobOf(stores, jobId)).toMatchObject({ status: "completed", completed: 1 });
    });

    test("shows a job's end at its own time, whatever is done to it later", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      const endedAt = stores.clock.now();
      await settle(stores, task, discard);
      stores.clock.tick(5000);
      await stores.now(stores.queue.deadLetters.discard([{ id: task.id, resourceId: "r0" }], "given_up"));
      const { completedAt, updatedAt } = await jobOf(stores, task.job.jobId);
      expect([completedAt, updatedAt]).toEqual([endedAt, endedAt + 5000]);
      await stores.expectTrueCounters();
    });

    test("has a result as soon as the settlement has resolved, and exact counters once it is brought up to date", async () => {
      await using stores = await open();
      const [one, two] = await claimedJob(stores, 3);
      await settle(stores, present(one), complete);
      expect(await stores.ledger.result(present(one).id)).toMatchObject({ state: "completed" });
      await settle(stores, present(two), complete);
      await stores.ledger.bringUpToDate();
      const { completed, bytes } = await jobOf(stores, present(one).job.jobId);
      expect([completed, bytes]).toEqual([2, 2 * result.bytes]);
    });

    test("does not know a job that was never accepted", async () => {
      await using stores = await open();
      expect(await stores.ledger.findJob(newJob().jobId)).toBeUndefined();
      expect(await stores.ledger.result(1)).toBeUndefined();
      expect(await stores.ledger.listJobs({}, ALL, 10)).toEqual([]);
    });

    test("calls a watcher of a job before each change can be read, until that ends", async () => {
      await using stores = await open();
      const [one, two] = await claimedJob(stores, 3);
      const other = firstOf(await claimedJob(stores, 1));
      const { seq } = present(one).job;
      let news = 0;
      const end = stores.ledger.watch(seq, () => news++);
      await settle(stores, other, complete);
      await stores.ledger.bringUpToDate();
      expect(news).toBe(0);
      await settle(stores, present(one), complete);
      await stores.ledger.bringUpToDate();
      expect(news).toBeGreaterThan(0);
      end();
      news = 0;
      await settle(stores, present(two), complete);
      await stores.ledger.bringUpToDate();
      expect(news).toBe(0);
    });

    test("calls each of several watchers of one job", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      const told = new Set<string>();
      const ends = ["a", "b", "c"].map((name) => stores.ledger.watch(task.job.seq, () => told.add(name)));
      ends[1]?.();
      await settle(stores, task, complete);
      await stores.ledger.bringUpToDate();
      expect([...told].sort()).toEqual(["a", "c"]);
    });
  });
}

function describeLists(open: OpenBackend): void {
  /** Jobs of two tenants and two types, in several states. */
  async function someJobs(stores: BackendStores): Promise<Record<string, JobRecord>> {
    const made: Record<string, JobRecord> = {};
    const kinds = [
      ["done", "t1", "default"],
      ["failed", "t2", "gallery"],
      ["running", "t1", "gallery"],
      ["queued", "t2", "default"],
      ["queued too", "t1", "default"],
    ] as const;
    for (const [name, tenant, jobType] of kinds) {
      const job = newJob({ tenant, jobType, createdAt: stores.clock.now() });
      const idempotency = { key: name === "done" ? "k" : name, fingerprint: new Uint8Array(32), answer: "{}" };
      await stores.now(stores.queue.acceptor.accept(acceptance(1, { job, idempotency })));
      if (!name.startsWith("queued")) {
        const task = firstOf(await claimAll(stores));
        if (name !== "running") await settle(stores, task, name === "done" ? complete : discard);
      }
      made[name] = await jobOf(stores, job.jobId);
      stores.clock.tick(1000);
    }
    return made;
  }

  test("jobs are listed by the time of their acceptance, with every other filter", async () => {
    await using stores = await open();
    const jobs = await someJobs(stores);
    const at = (name: string) => present(jobs[name]).createdAt;
    const seqsOf = async (filter: JobFilter, before = ALL) =>
      (await stores.ledger.listJobs(filter, before, 10)).map(({ seq }) => seq);
    const wanted = (...names: string[]) => names.map((name) => present(jobs[name]).seq);
    expect(await seqsOf({ since: at("running") })).toEqual(wanted("queued too", "queued", "running"));
    expect(await seqsOf({ until: at("running") })).toEqual(wanted("failed", "done"));
    expect(await seqsOf({ since: at("failed"), until: at("queued") })).toEqual(wanted("running", "failed"));
    expect(await seqsOf({ since: at("failed"), tenant: "t1" })).toEqual(wanted("queued too", "running"));
    expect(await seqsOf({ until: at("queued too"), status: "queued" })).toEqual(wanted("queued"));
    expect(await seqsOf({ until: at("queued") }, present(jobs.running).seq)).toEqual(wanted("failed", "done"));
    expect(await seqsOf({ since: at("queued too") + 1 })).toEqual([]);
    expect(await seqsOf({ since: 0, until: at("done") })).toEqual([]);
  });

  test("jobs are listed by the start of their ids, with every other filter", async () => {
    await using stores = await open();
    const ids = ["019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00", "019ab2f4-7c1f-7d3a-9b52-4f6c1d2e3f00"];
    for (const jobId of [...ids, "019ab2f5-7c1e-7d3a-9b52-4f6c1d2e3f00", "019ab2f4-7cff-7d3a-9b52-4f6c1d2e3f00"])
      await stores.now(
        stores.queue.acceptor.accept(acceptance(1, { job: newJob({ jobId, tenant: jobId.slice(9, 13) }) })),
      );
    const found = async (filter: JobFilter, before = ALL) =>
      (await stores.ledger.listJobs(filter, before, 10)).map(({ seq }) => seq);
    expect(await found({ idPrefix: "019ab2f4" })).toEqual([4, 2, 1]);
    expect(await found({ idPrefix: "019ab2f4" }, 4)).toEqual([2, 1]);
    expect(await found({ idPrefix: "019ab2f4-7c1" })).toEqual([2, 1]);
    expect(await found({ idPrefix: present(ids[0]) })).toEqual([1]);
    expect(await found({ idPrefix: "019ab2f4", tenant: "7c1f", status: "queued" })).toEqual([2]);
    expect(await found({ idPrefix: "019ab2f4", status: "failed" })).toEqual([]);
    expect(await found({ idPrefix: "019ab2f6" })).toEqual([]);
  });

  test("jobs are counted by status: all exactly, those of a type or a tenant up to a limit", async () => {
    await using stores = await open();
    await someJobs(stores);
    const none = { queued: 0, in_progress: 0, completed: 0, partial: 0, failed: 0, cancelled: 0 };
    const { ledger } = stores;
    const all = { ...none, queued: 2, in_progress: 1, completed: 1, failed: 1 };
    expect(await ledger.countJobs({}, 1)).toEqual({ counts: all, isCapped: false });
    expect(await ledger.countJobs({ tenant: "t1" }, 10)).toEqual({
      counts: { ...none, queued: 1, in_progress: 1, completed: 1 },
      isCapped: false,
    });
    expect(await ledger.countJobs({ jobType: "default" }, 2)).toEqual({
      counts: { ...none, queued: 2, completed: 1 },
      isCapped: false,
    });
    expect(await ledger.countJobs({ jobType: "default" }, 1)).toEqual({
      counts: { ...none, queued: 1, completed: 1 },
      isCapped: true,
    });
    expect(await ledger.countJobs({ jobType: "gallery", tenant: "t2" }, 10)).toEqual({
      counts: { ...none, failed: 1 },
      isCapped: false,
    });
    await stores.expectTrueCounters();
  });

  test.each<[string, JobFilter, string[]]>([
    ["nothing", {}, ["queued too", "queued", "running", "failed", "done"]],
    ["status", { status: "queued" }, ["queued too", "queued"]],
    ["type", { jobType: "gallery" }, ["running", "failed"]],
    ["tenant", { tenant: "t1" }, ["queued too", "running", "done"]],
    ["tenant and type", { tenant: "t1", jobType: "default" }, ["queued too", "done"]],
    ["tenant, type and status", { tenant: "t1", jobType: "default", status: "completed" }, ["done"]],
    ["idempotency key", { idempotencyKey: "k" }, ["done"]],
    ["idempotency key of another tenant", { idempotencyKey: "k", tenant: "t2" }, []],
    ["a status of no job", { status: "cancelled" }, []],
  ])("jobs are listed by %s, the newest first, page by page", async (_, filter, names) => {
    await using stores = await open();
    const jobs = await someJobs(stores);
    const wanted = names.map((name) => present(jobs[name]));
    expect(await stores.ledger.listJobs(filter, ALL, 10)).toEqual(wanted);
    const paged: JobRecord[] = [];
    for (let before = ALL; ; ) {
      const page = await stores.ledger.listJobs(filter, before, 2);
      paged.push(...page);
      const last = page.at(-1);
      if (last === undefined) break;
      before = last.seq;
    }
    expect(paged).toEqual(wanted);
  });
}

function describeResults(open: OpenBackend): void {
  /** A job with two of each end, in turn, and one task that waits. */
  async function endedTasks(stores: BackendStores): Promise<{ job: JobRecord; tasks: ClaimedTask[] }> {
    const tasks = await claimedJob(stores, 7);
    const verdicts = [complete, discard, { kind: "cancel" }] as const;
    for (const [at, task] of tasks.slice(0, 6).entries()) await settle(stores, task, present(verdicts[at % 3]));
    await settle(stores, present(tasks[6]), retryAt(stores.clock.steady() + 1000));
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    return { job: await jobOf(stores, firstOf(tasks).job.jobId), tasks };
  }

  test("results of a job come in order of their ids, page by page, by state", async () => {
    await using stores = await open();
    const { job, tasks } = await endedTasks(stores);
    const ids = tasks.map(({ id }) => id);
    const read = async (...rest: [number, number, ("completed" | "failed" | "cancelled")?]) =>
      (await stores.ledger.results(job, ...rest)).map(({ task }) => task);
    expect(await read(0, 100)).toEqual(ids.slice(0, 6));
    expect(await read(present(ids[1]), 2)).toEqual(ids.slice(2, 4));
    for (const [at, state] of (["completed", "failed", "cancelled"] as const).entries()) {
      expect(await read(0, 100, state)).toEqual([present(ids[at]), present(ids[at + 3])]);
      expect(await read(present(ids[at]), 100, state)).toEqual([present(ids[at + 3])]);
    }
    for (const row of await stores.ledger.results(job, 0, 100))
      expect(await stores.ledger.result(row.task)).toEqual(row);
    expect(await stores.ledger.result(present(ids[6]))).toBeUndefined();
  });

  test("failures of a job are its first failed tasks", async () => {
    await using stores = await open();
    const { job, tasks } = await endedTasks(stores);
    await stores.ledger.bringUpToDate();
    const failed = [present(tasks[1]).id, present(tasks[4]).id];
    expect((await stores.ledger.failures(job, 10)).map(({ task }) => task)).toEqual(failed);
    const [first, ...others] = await stores.ledger.failures(job, 1);
    expect([first?.task, others]).toEqual([failed[0], []]);
    expect(first).toMatchObject({ state: "failed", errorCode: "DOWNLOAD_HTTP_404", attempts: 1 });
  });
}

function describeLogs(open: OpenBackend): void {
  const messagesOf = async (stores: BackendStores, jobId: string) => {
    await stores.ledger.bringUpToDate();
    const { rows } = await stores.ledger.logs(await jobOf(stores, jobId), 0, 1000, LOG_LEVELS);
    return rows;
  };

  describe("the log of a job", () => {
    test("has a row for its acceptance, each completion, failed attempt and dead letter, and its end", async () => {
      await using stores = await open();
      const [a, b, c, d] = await claimedJob(stores, 4);
      await settle(stores, present(a), complete);
      await settle(stores, present(b), discard);
      await settle(stores, present(c), retryAt(stores.clock.now()));
      await settle(stores, firstOf(await claimAll(stores)), discard);
      await settle(stores, present(d), complete);
      const rows = await messagesOf(stores, present(a).job.jobId);
      expect(rows.map(({ offset, level, message, resourceId }) => [offset, level, message, resourceId])).toEqual([
        [0, "info", "job accepted", null],
        [1, "info", "resource stored", "r0"],
        [2, "warn", "attempt failed", "r1"],
        [3, "error", "resource failed for good", "r1"],
        [4, "warn", "attempt failed", "r2"],
        [5, "warn", "attempt failed", "r2"],
        [6, "error", "resource failed for good", "r2"],
        [7, "info", "resource stored", "r3"],
        [8, "info", "job partial", null],
      ]);
      const [, stored, failed] = rows.map(({ fields }) => JSON.parse(fields) as Record<string, unknown>);
      expect(stored).toEqual({ task_id: present(a).id, bytes: result.bytes, http_status: 200, attempts: 1 });
      expect(failed).toMatchObject({ code: "DOWNLOAD_HTTP_404", attempts: 1 });
      expect(rows.every(({ at }) => at === stores.clock.now())).toBe(true);
    });

    test("tells when a task that failed is tried again", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      const due = stores.clock.now() + 5000;
      await settle(stores, task, retryAt(due));
      const fields = JSON.parse(present((await messagesOf(stores, task.job.jobId))[1]).fields) as unknown;
      const next = new Date(due).toISOString();
      expect(fields).toMatchObject({ code: attempt.code, error: attempt.message, attempts: 1, next_attempt_at: next });
    });

    test("is read from any offset, so many rows at a time, by level; the next offset is never past the end", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 4);
      for (const [at, task] of tasks.entries()) await settle(stores, task, at % 2 === 0 ? complete : discard);
      const job = await jobOf(stores, firstOf(tasks).job.jobId);
      expect(job.logCount).toBe(8);
      const read = async (offset: number, limit: number, ...levels: ("info" | "warn" | "error")[]) => {
        const { rows, next } = await stores.ledger.logs(job, offset, limit, levels);
        return [rows.map((row) => row.offset), next];
      };
      expect(await read(0, 100, "info", "warn", "error")).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], 8]);
      expect(await read(2, 3, "info", "warn", "error")).toEqual([[2, 3, 4], 5]);
      expect(await read(0, 1, "error")).toEqual([[3], 4]);
      expect(await read(4, 5, "error")).toEqual([[6], 8]);
      expect(await read(8, 5, "info")).toEqual([[], 8]);
      expect(await read(20, 5, "info")).toEqual([[], 20]);
    });

    test("is read a bounded number of rows at a time, whatever their levels", async () => {
      await using stores = await open();
      const tasks = newTasks(6000);
      const { jobId } = await stores.now(stores.queue.acceptor.accept(acceptance(tasks)));
      for (let claimed = await claimAll(stores, 6000); claimed.length > 0; claimed = await claimAll(stores, 6000)) {
        const settle = (task: ClaimedTask) => stores.queue.settlements.settle({ claimed: task, verdict: complete });
        await stores.now(Promise.all(claimed.map(settle)));
      }
      await stores.ledger.bringUpToDate();
      const job = await jobOf(stores, jobId);
      expect(job.logCount).toBe(6002);
      let reads = 0;
      const found: string[] = [];
      for (let offset = 0; offset < job.logCount; reads++) {
        const { rows, next } = await stores.ledger.logs(job, offset, 100, ["error"]);
        expect(next).toBeGreaterThan(offset);
        found.push(...rows.map(({ message }) => message));
        offset = next;
      }
      expect(found).toEqual([]);
      expect(reads).toBeGreaterThan(1);
    });

    test("stays readable up to what a caller has seen of it, while it grows", async () => {
      await using stores = await open();
      const [one, two] = await claimedJob(stores, 2);
      await settle(stores, present(one), complete);
      await stores.ledger.bringUpToDate();
      const seen = await jobOf(stores, present(one).job.jobId);
      await settle(stores, present(two), complete);
      const { rows, next } = await stores.ledger.logs(seen, 0, 100, LOG_LEVELS);
      expect([rows.length, next]).toEqual([seen.logCount, seen.logCount]);
    });
  });
}
