import { describe, expect, test } from "bun:test";
import type { ClaimedTask } from "../../../src/jobs/task.ts";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  firstOf,
  present,
  release,
  retryAt,
  settle,
  snoozeUntil,
} from "../../support/sample-jobs.ts";
import { type BackendStores, everythingOf, jobOf, type OpenBackend, recover, tasksOf } from "./backend.ts";

/** The promises of `QueueParts.recover`, and of `Settlements.markStarted`. */
export function describeRecovery(open: OpenBackend): void {
  describePutBack(open);
  describeCrashCounts(open);
  describePoison(open);
  describeTimes(open);
}

const NOTHING = { interrupted: 0, suspects: 0, sweptJobs: 0, poison: [] };

const start = ({ now, queue }: BackendStores, claimed: ClaimedTask) => now(queue.settlements.markStarted(claimed));

function describePutBack(open: OpenBackend): void {
  describe("recover", () => {
    test("puts back what was claimed, with one crash more and no attempt spent", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 5);
      for (const task of tasks.slice(0, 2)) await settle(stores, task, retryAt(stores.clock.now()));
      await settle(stores, present(tasks[4]), complete);
      await claimAll(stores, 1);
      await stores.crash();
      expect(await recover(stores)).toEqual({ ...NOTHING, interrupted: 3 });
      expect(await stores.queue.control.depth()).toEqual({ pending: 2, running: 0, retrying: 2 });
      await stores.expectTrueCounters();
      const again = (await claimAll(stores)).toSorted((a, b) => a.id - b.id);
      const ids = tasks.map(({ id }) => id);
      expect(again.map(({ id, crashes, attempts }) => ({ id, crashes, attempts }))).toEqual([
        { id: present(ids[0]), crashes: 1, attempts: 1 },
        { id: present(ids[1]), crashes: 0, attempts: 1 },
        { id: present(ids[2]), crashes: 1, attempts: 0 },
        { id: present(ids[3]), crashes: 1, attempts: 0 },
      ]);
    });

    test("finds nothing after a stop that released its tasks", async () => {
      await using stores = await open();
      for (const task of await claimedJob(stores, 3)) await settle(stores, task, release);
      await stores.reopen();
      expect(await recover(stores)).toEqual(NOTHING);
      const again = (await claimAll(stores)).map(({ crashes, mayHaveStored }) => crashes > 0 || mayHaveStored);
      expect(again).toEqual([false, false, false]);
    });

    test("finds nothing in stores that are new, and nothing the second time", async () => {
      await using stores = await open();
      expect(await recover(stores)).toEqual(NOTHING);
      await claimedJob(stores, 2);
      await stores.crash();
      expect(await recover(stores)).toMatchObject({ interrupted: 2 });
      await stores.crash();
      expect(await recover(stores)).toEqual(NOTHING);
    });

    test("changes nothing of a task that was not claimed", async () => {
      await using stores = await open();
      const [ended, waiting] = await claimedJob(stores, 2);
      await settle(stores, present(ended), complete);
      await settle(stores, present(waiting), snoozeUntil(stores.clock.steady() + 5000, stores.clock.steady()));
      const { jobId } = present(ended).job;
      const before = await everythingOf(stores, jobId);
      await stores.crash();
      await recover(stores);
      expect(await everythingOf(stores, jobId)).toEqual(before);
    });

    test("puts back more than one batch takes", async () => {
      await using stores = await open();
      await claimedJob(stores, 1201);
      await claimAll(stores); // the rest
      await stores.crash();
      expect((await recover(stores)).interrupted).toBe(1201);
      expect(await stores.queue.control.depth()).toEqual({ pending: 1201, running: 0, retrying: 0 });
      await stores.expectTrueCounters();
    });
  });
}

function describeCrashCounts(open: OpenBackend): void {
  describe("a crash", () => {
    test("counts against started tasks, and not against those that waited in memory", async () => {
      await using stores = await open();
      for (let crash = 1; crash <= 5; crash++) {
        const [ran, ...waited] = crash === 1 ? await claimedJob(stores, 4) : await claimAll(stores);
        expect(waited).toHaveLength(3);
        await start(stores, present(ran));
        await stores.crash();
        const { poison } = await recover(stores);
        expect(poison.map(({ id }) => id)).toEqual(crash === 5 ? [present(ran).id] : []);
      }
      // They may have been at work all the same: that they began had perhaps not been noted yet.
      const waited = { crashes: 0, mayHaveStored: true };
      const left = (await claimAll(stores)).map(({ crashes, mayHaveStored }) => ({ crashes, mayHaveStored }));
      expect(left).toEqual([waited, waited, waited]);
      await stores.expectTrueCounters();
    });

    test("counts no task that the process before had started", async () => {
      await using stores = await open();
      const ran = firstOf(await claimedJob(stores, 1));
      await start(stores, ran);
      await stores.crash();
      await recover(stores);
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      const [again, other] = await claimAll(stores);
      expect([present(again).id, present(again).crashes]).toEqual([ran.id, 1]);
      await start(stores, present(other));
      await stores.crash();
      await recover(stores);
      const counts = (await claimAll(stores)).map(({ id, crashes }) => [id, crashes]);
      expect(counts).toEqual([
        [ran.id, 1],
        [present(other).id, 1],
      ]);
    });

    test("counts no task after a second stop signal, and the next crash counts again", async () => {
      await using stores = await open();
      await claimedJob(stores, 1);
      stores.stores.abandon();
      await stores.crash();
      await recover(stores);
      const claims = (await claimAll(stores)).map(({ crashes, mayHaveStored }) => [crashes, mayHaveStored]);
      expect(claims).toEqual([[0, true]]);
      await stores.crash();
      await recover(stores);
      expect((await claimAll(stores)).map(({ crashes }) => crashes)).toEqual([1]);
    });

    test("makes a suspect of a task at its third: it is first in its lane, and counts only where its start is noted", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(4)));
      const lane = firstOf(await stores.queue.source.lanes(1)).id;
      const claim = async (limit: number) => {
        stores.clock.tick(1);
        return await stores.now(stores.queue.source.claim([{ lane, limit }]));
      };
      const [, second] = await claim(2);
      await start(stores, present(second));
      for (let crash = 1; crash <= 2; crash++) {
        await stores.crash();
        expect((await recover(stores)).suspects).toBe(0);
        const all = await claim(9);
        await start(stores, present(all.find(({ id }) => id === present(second).id)));
      }
      await stores.crash();
      expect((await recover(stores)).suspects).toBe(1);
      const suspect = firstOf(await claim(1));
      expect([suspect.id, suspect.crashes]).toEqual([present(second).id, 3]);
      await stores.crash(); // before it ran
      await recover(stores);
      const again = firstOf(await claim(1));
      expect([again.id, again.crashes]).toEqual([present(second).id, 3]);
      await settle(stores, again, retryAt(stores.clock.steady()));
      expect((await claim(9)).find(({ id }) => id === again.id)?.crashes).toBe(0);
      await stores.expectTrueCounters();
    });
  });

  describe("a claimed task", () => {
    const shown = async (stores: BackendStores, { job }: ClaimedTask) =>
      (await tasksOf(stores, await jobOf(stores, job.jobId), ["pending", "running"])).map(({ state }) => state);

    test("that no worker has started is shown as waiting", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      expect(await shown(stores, task)).toEqual(["pending"]);
      await start(stores, task);
      expect(await shown(stores, task)).toEqual(["running"]);
    });

    test("is not shown as running because an earlier process had started it", async () => {
      await using stores = await open();
      const ran = firstOf(await claimedJob(stores, 1));
      await start(stores, ran);
      await stores.crash();
      await recover(stores);
      await claimAll(stores);
      expect(await shown(stores, ran)).toEqual(["pending"]);
    });
  });
}

function describePoison(open: OpenBackend): void {
  /** Lets the process crash four times while a task of a new job runs. */
  async function crashFourTimes(stores: BackendStores): Promise<void> {
    await claimedJob(stores, 1);
    for (let crash = 1; crash <= 4; crash++) {
      await stores.crash();
      await recover(stores);
      await start(stores, firstOf(await claimAll(stores)));
    }
  }

  describe("recover", () => {
    test("dead-letters a task at its fifth crash and ends its job", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      await settle(stores, task, retryAt(stores.clock.now()));
      const startedAt: number[] = [];
      const claim = async () => {
        stores.clock.tick(60_000);
        startedAt.push(stores.clock.now());
        return firstOf(await claimAll(stores));
      };
      await claim();
      for (let crash = 1; crash <= 4; crash++) {
        await stores.crash();
        expect(await recover(stores)).toMatchObject({ poison: [], suspects: crash < 3 ? 0 : 1 });
        const again = await claim();
        expect(again.crashes).toBe(crash);
        await start(stores, again);
      }
      await stores.crash();
      const { poison } = await recover(stores);
      expect(poison).toEqual([{ id: task.id, jobId: task.job.jobId, task: task.task }]);
      const deadLetter = present(await stores.deadLetters.find(task.id));
      const { code, attempts, resourceId, host, history } = deadLetter;
      expect([code, attempts, resourceId, host]).toEqual(["TASK_INTERRUPTED", 1, "r0", "origin.test"]);
      expect(history.map((each) => [each.code, each.startedAt])).toEqual([
        [attempt.code, attempt.startedAt],
        ...startedAt.map((at) => ["TASK_INTERRUPTED", at]),
      ]);
      expect((await jobOf(stores, task.job.jobId)).status).toBe("failed");
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
      await stores.expectTrueCounters();
      expect(await recover(stores)).toEqual(NOTHING);
    });

    test("calls onPoison before the task fails", async () => {
      await using stores = await open();
      await crashFourTimes(stores);
      await stores.crash();
      const sizes: number[] = [];
      await stores.queue.recover(async () => {
        sizes.push(await stores.deadLetters.size());
      });
      expect([sizes, await stores.deadLetters.size()]).toEqual([[0], 1]);
    });

    test("that is itself cut short buries and counts once", async () => {
      await using stores = await open();
      await crashFourTimes(stores);
      await stores.crash();
      const cut = stores.queue.recover(() => Promise.reject(new Error("killed while it cleaned up")));
      expect(await cut.catch((error: Error) => error.message)).toBe("killed while it cleaned up");
      await stores.crash();
      expect((await recover(stores)).poison.length).toBe(1);
      expect(await stores.deadLetters.size()).toBe(1);
      await stores.expectTrueCounters();
    });
  });
}

function describeTimes(open: OpenBackend): void {
  describe("a time without a process", () => {
    /** A task that waits for its host since now, in a store whose last sign of life is now. */
    async function snoozed(stores: BackendStores, dueMs: number) {
      stores.clock.tick(10_000);
      const task = firstOf(await claimedJob(stores, 1));
      const at = stores.clock.steady();
      await settle(stores, task, snoozeUntil(at + dueMs, at));
      return at;
    }

    test("does not count for a task that waits for its host or the storage", async () => {
      await using stores = await open();
      const at = await snoozed(stores, 5000);
      await stores.clock.advance(7_200_000);
      await stores.crash();
      await recover(stores);
      const again = firstOf(await claimAll(stores));
      expect(again.waitingSince).toEqual({ class: "throttled", at: at + 7_200_000 });
    });

    test("in which the clock was set back leaves a task due that has long been due, for every reader", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      await stores.clock.advance(7_200_000);
      await stores.now(stores.queue.hosts.note(() => [])); // a sign of life
      stores.clock.jump(-3_600_000);
      await stores.crash();
      await recover(stores);
      expect(await stores.queue.control.oldestPendingAgeMs()).toBe(3_600_000);
      expect((await claimAll(stores)).length).toBe(1);
    });

    test("in which the clock was set back makes no task wait longer than it was to", async () => {
      await using stores = await open();
      const at = await snoozed(stores, 5000);
      stores.clock.jump(-3_600_000);
      await stores.crash();
      await recover(stores);
      expect(await claimAll(stores)).toEqual([]);
      expect(await stores.queue.control.nextDueMs()).toBe(5000);
      await stores.clock.advance(5000);
      expect(firstOf(await claimAll(stores)).waitingSince).toEqual({ class: "throttled", at: at - 3_600_000 });
    });
  });
}
