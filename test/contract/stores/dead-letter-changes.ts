import { describe, expect, test } from "bun:test";
import type { Lane } from "../../../src/jobs/lane.ts";
import type { NewBulkOperation, Replay } from "../../../src/jobs/stores/dead-letter-changes.ts";
import type { ClaimedTask } from "../../../src/jobs/task.ts";
import {
  attempt,
  claimAll,
  claimedJob,
  complete,
  discard,
  firstOf,
  present,
  retryAt,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, everythingOf, jobOf, type OpenBackend } from "./backend.ts";

/** The promises of `DeadLetterChanges`. */
export function describeDeadLetterChanges(open: OpenBackend): void {
  describeReplays(open);
  describeDiscards(open);
  describeOperations(open);
}

const ALL = Number.MAX_SAFE_INTEGER;

/** A job whose tasks are all dead letters. */
async function deadJob(stores: BackendStores, tasks = 1): Promise<ClaimedTask[]> {
  const claimed = await claimedJob(stores, tasks);
  const settled = claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict: discard }));
  await stores.now(Promise.all(settled));
  return claimed;
}

/** Replays of tasks as they are. */
function replaysOf(tasks: readonly ClaimedTask[], availableAt = 0): Replay[] {
  return tasks.map(({ id, task }) => ({ id, task, history: [attempt], availableAt }));
}

const refsOf = (tasks: readonly ClaimedTask[]) => tasks.map(({ id, task }) => ({ id, resourceId: task.resourceId }));
const replay = (stores: BackendStores, ...all: Parameters<BackendStores["queue"]["deadLetters"]["replay"]>) =>
  stores.now(stores.queue.deadLetters.replay(...all));
const drop = (stores: BackendStores, ...all: Parameters<BackendStores["queue"]["deadLetters"]["discard"]>) =>
  stores.now(stores.queue.deadLetters.discard(...all));

function describeReplays(open: OpenBackend): void {
  describe("a replay", () => {
    test("puts tasks back to work: attempts start anew, their history stays, the job is at work again", async () => {
      await using stores = await open();
      const [one, two] = await deadJob(stores, 2);
      const { jobId } = present(one).job;
      expect((await jobOf(stores, jobId)).status).toBe("failed");
      const lanes: Lane[] = [];
      stores.queue.source.onLane((lane) => lanes.push(lane));
      await stores.clock.advance(10);
      expect(await replay(stores, replaysOf([present(one)]))).toBe(1);

      expect(lanes).toMatchObject([{ host: present(one).host, waiting: 1, job: { jobId } }]);
      const { failed, status, completedAt, updatedAt } = await jobOf(stores, jobId);
      expect([failed, status, completedAt, updatedAt]).toEqual([1, "in_progress", null, stores.clock.now()]);
      expect(await stores.deadLetters.find(present(one).id)).toBeUndefined();
      expect(await stores.ledger.result(present(one).id)).toBeUndefined();
      expect((await stores.deadLetters.list({}, ALL, 10)).map(({ task }) => task)).toEqual([present(two).id]);
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 1 });
      const again = firstOf(await claimAll(stores));
      expect(again).toMatchObject({ id: present(one).id, attempts: 0, crashes: 0, history: [attempt] });
      await settle(stores, again, complete);
      expect(await jobOf(stores, jobId)).toMatchObject({ status: "partial", completed: 1, failed: 1 });
      await stores.expectTrueCounters();
    });

    test("may change the task, and where it is fetched from", async () => {
      await using stores = await open();
      const [dead] = await deadJob(stores);
      const { id, task } = present(dead);
      const url = "http://other.test:81/file";
      const changed = { ...task, url, headers: { Cookie: "fresh" }, proxyPool: "pool" };
      await replay(stores, [{ id, task: changed, history: [attempt], availableAt: 0 }]);
      expect(firstOf(await claimAll(stores))).toMatchObject({ id, task: changed, host: "other.test:81" });
      await stores.expectTrueCounters();
    });

    test("is due at its time", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 2);
      const now = stores.clock.steady();
      const replays = replaysOf(dead).map((each, at) => ({ ...each, availableAt: now + 1000 * (at + 1) }));
      await replay(stores, replays);
      expect(await claimAll(stores)).toEqual([]);
      await stores.clock.advance(1000);
      expect((await claimAll(stores)).map(({ id }) => id)).toEqual([present(dead[0]).id]);
    });

    test("changes each dead letter once, however often it is asked for", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 3);
      const replays = replaysOf(dead);
      const { deadLetters } = stores.queue;
      const both = [deadLetters.replay(replays), deadLetters.replay([...replays, ...replays])];
      expect(await stores.now(Promise.all(both))).toEqual([3, 0]);
      const before = await everythingOf(stores, present(dead[0]).job.jobId);
      expect(await replay(stores, replays)).toBe(0);
      expect(await drop(stores, refsOf(dead), "given_up")).toBe(0);
      expect(await everythingOf(stores, present(dead[0]).job.jobId)).toEqual(before);
      expect((await claimAll(stores)).length).toBe(3);
      await stores.expectTrueCounters();
    });

    test("leaves out a task that has no dead letter", async () => {
      await using stores = await open();
      const [waiting, done, dead] = await claimedJob(stores, 3);
      await settle(stores, present(waiting), retryAt(stores.clock.steady() + 1000));
      await settle(stores, present(done), complete);
      await settle(stores, present(dead), discard);
      const unknown = { ...present(dead), id: present(dead).id + 1000 };
      const asked = replaysOf([present(waiting), present(done), unknown, present(dead)]);
      expect(await replay(stores, asked)).toBe(1);
      expect((await claimAll(stores)).map(({ id }) => id)).toEqual([present(dead).id]);
      await stores.expectTrueCounters();
    });

    test("holds across a crash", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 2);
      await replay(stores, replaysOf(dead));
      await stores.crash();
      expect(await stores.deadLetters.size()).toBe(0);
      expect((await claimAll(stores)).length).toBe(2);
      await stores.expectTrueCounters();
    });
  });
}

function describeDiscards(open: OpenBackend): void {
  describe("a discard", () => {
    test.each(["given_up", "pruned"] as const)("(%s) removes dead letters; their tasks stay failed", async (reason) => {
      await using stores = await open();
      const dead = await deadJob(stores, 3);
      const before = await jobOf(stores, present(dead[0]).job.jobId);
      await stores.clock.advance(10);
      expect(await drop(stores, refsOf(dead.slice(0, 2)), reason)).toBe(2);
      const job = await jobOf(stores, before.jobId);
      expect(job).toEqual({ ...before, logCount: before.logCount + 2, updatedAt: stores.clock.now() });
      expect(await stores.deadLetters.size()).toBe(1);
      expect(await stores.ledger.result(present(dead[0]).id)).toMatchObject({ state: "failed" });
      const { rows } = await stores.ledger.logs(job, 0, 100, ["debug"]);
      expect(rows.map(({ fields }) => (JSON.parse(fields) as { reason: string }).reason)).toEqual([reason, reason]);
      await stores.expectTrueCounters();
    });

    test("changes each dead letter once, and leaves out one that is gone", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 2);
      const refs = refsOf(dead);
      const { deadLetters } = stores.queue;
      const both = [deadLetters.discard([...refs, ...refs], "given_up"), deadLetters.discard(refs, "pruned")];
      expect(await stores.now(Promise.all(both))).toEqual([2, 0]);
      expect(await replay(stores, replaysOf(dead))).toBe(0);
      expect(await claimAll(stores)).toEqual([]);
      await stores.expectTrueCounters();
    });
  });
}

const OPERATION: NewBulkOperation = {
  kind: "replay",
  filter: { code: "DOWNLOAD_HTTP_404", since: 5 },
  overrides: { headers: { Cookie: "secret" }, proxyPool: "pool" },
  ratePerSecond: 2.5,
  matched: 7,
  startedBy: "alice",
};

function describeOperations(open: OpenBackend): void {
  const begin = (stores: BackendStores, more: Partial<NewBulkOperation> = {}) =>
    stores.now(stores.queue.deadLetters.begin({ ...OPERATION, ...more }));

  describe("an operation", () => {
    test("is recorded as running, and the next process finds it", async () => {
      await using stores = await open();
      const begun = await begin(stores);
      expect(begun).toEqual({
        ...OPERATION,
        id: begun.id,
        state: "running",
        processed: 0,
        changed: 0,
        beforeTask: Number.MAX_SAFE_INTEGER,
        dueFrom: stores.clock.steady(),
        startedAt: stores.clock.now(),
        finishedAt: null,
        error: null,
      });
      const other = await begin(stores, { kind: "give_up", filter: {}, overrides: {}, ratePerSecond: undefined });
      await stores.crash();
      expect(await stores.queue.deadLetters.operation(begun.id)).toEqual(begun);
      expect(await stores.queue.deadLetters.operations()).toEqual([other, begun]);
      expect(await stores.queue.deadLetters.operation(other.id + 1)).toBeUndefined();
    });

    test("advances in the commit of each of its steps", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 4);
      const { id, dueFrom: begunFrom } = await begin(stores);
      const [a, b, c, d] = dead.map((task) => task.id);
      await drop(stores, refsOf(dead.slice(3)), "given_up");
      await replay(stores, replaysOf(dead.slice(2)), { id, processed: 2, beforeTask: present(c), lateMs: 0 });
      const read = async () => {
        const { state, processed, changed, beforeTask, dueFrom } = present(
          await stores.queue.deadLetters.operation(id),
        );
        return [state, processed, changed, beforeTask, dueFrom - begunFrom];
      };
      expect(await read()).toEqual(["running", 2, 1, present(c), 0]);
      expect(d).toBeGreaterThan(present(c));
      await drop(stores, refsOf(dead.slice(0, 2)), "given_up", {
        id,
        processed: 2,
        beforeTask: present(a),
        lateMs: 700,
      });
      await stores.crash();
      expect(await read()).toEqual(["running", 4, 3, present(a), 700]);
      expect(b).toBeGreaterThan(present(a));
      await stores.expectTrueCounters();
    });

    test("that a crash interrupts before its step's commit has changed nothing", async () => {
      await using stores = await open();
      const dead = await deadJob(stores, 2);
      const begun = await begin(stores);
      const lost = stores.queue.deadLetters.replay(replaysOf(dead), {
        id: begun.id,
        processed: 2,
        beforeTask: 1,
        lateMs: 0,
      });
      lost.catch(() => {});
      await stores.crash();
      const found = present(await stores.queue.deadLetters.operation(begun.id));
      const size = await stores.deadLetters.size();
      // A backend may have committed the step already: then both are there.
      expect([found.processed, size]).toEqual(found.processed === 0 ? [0, 2] : [2, 0]);
    });

    test.each(["completed", "stopped", "failed"] as const)(
      "ends once, as %s, and forgets its secrets",
      async (state) => {
        await using stores = await open();
        const begun = await begin(stores);
        await stores.clock.advance(10);
        const error = state === "failed" ? "the disk is full" : undefined;
        await stores.now(stores.queue.deadLetters.end(begun.id, state, error));
        const ended = { ...begun, state, finishedAt: stores.clock.now(), error: error ?? null, overrides: {} };
        expect(await stores.queue.deadLetters.operation(begun.id)).toEqual(ended);
        await stores.clock.advance(10);
        await stores.now(stores.queue.deadLetters.end(begun.id, "failed", "later"));
        await stores.now(stores.queue.deadLetters.end(begun.id + 1, "failed", "unknown"));
        expect(await stores.queue.deadLetters.operations()).toEqual([ended]);
      },
    );

    test("that runs is remembered, however many others have ended since", async () => {
      await using stores = await open();
      const running = await begin(stores);
      const { deadLetters } = stores.queue;
      const begun = await stores.now(Promise.all(Array.from({ length: 150 }, () => deadLetters.begin(OPERATION))));
      await stores.now(Promise.all(begun.map(({ id }) => deadLetters.end(id, "completed"))));
      const last = await begin(stores);
      const kept = await deadLetters.operations();
      expect([kept[0]?.id, kept.at(-1)?.id]).toEqual([last.id, running.id]);
      expect(kept.map(({ id }) => id)).toEqual(kept.map(({ id }) => id).toSorted((a, b) => b - a));
    });
  });
}
