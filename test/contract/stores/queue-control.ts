import { describe, expect, test } from "bun:test";
import type { HostRecord } from "../../../src/jobs/host-record.ts";
import type { WaitingHost, WaitingHosts } from "../../../src/jobs/stores/queue-control.ts";
import { TASK_STATES } from "../../../src/jobs/task.ts";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  discard,
  firstOf,
  newTasks,
  present,
  retryAt,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, jobOf, type OpenBackend, recover } from "./backend.ts";

/** The promises of `QueueControl`. */
export function describeQueueControl(open: OpenBackend): void {
  describePauses(open);
  describeReplayRate(open);
  describeFigures(open);
  describeTasksOfJob(open);
}

const pause = ({ now, queue }: BackendStores, paused: boolean) => now(queue.control.setPaused(paused));

function describePauses(open: OpenBackend): void {
  describe("a pause", () => {
    test("lasts until it is ended, across a crash, and its end gives its length", async () => {
      await using stores = await open();
      expect(stores.queue.control.isPaused()).toBe(false);
      expect(await pause(stores, true)).toBe(0);
      await stores.clock.advance(1000);
      await stores.crash();
      expect(stores.queue.control.isPaused()).toBe(true);
      await stores.clock.advance(500);
      expect(await pause(stores, true)).toBe(0);
      expect(await pause(stores, false)).toBe(1500);
      expect(stores.queue.control.isPaused()).toBe(false);
      expect(await pause(stores, false)).toBe(0);
    });

    test("keeps the name of its first token and its start, across a crash", async () => {
      await using stores = await open();
      const { control } = stores.queue;
      expect(control.pause()).toBeUndefined();
      const at = stores.clock.now();
      await stores.now(control.setPaused(true, "alice"));
      await stores.clock.advance(1000);
      await stores.now(control.setPaused(true, "bob"));
      await stores.crash();
      expect(stores.queue.control.pause()).toEqual({ by: "alice", at });
      await pause(stores, false);
      expect(stores.queue.control.pause()).toBeUndefined();
      await stores.clock.advance(1000);
      await pause(stores, true);
      expect(stores.queue.control.pause()).toEqual({ by: null, at: at + 2000 });
    });

    test("moves the time since when a task waits for its storage", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores, 1));
      const at = stores.clock.steady();
      const waitingSince = { class: "unavailable", at } as const;
      await settle(stores, task, { kind: "snooze", attempt, availableAt: at + 1000, waitingSince });
      await pause(stores, true);
      await stores.clock.advance(7_200_000);
      expect(await pause(stores, false)).toBe(7_200_000);
      expect(firstOf(await claimAll(stores)).waitingSince).toEqual({ class: "unavailable", at: at + 7_200_000 });
    });

    test("moves the time since when a host is unavailable", async () => {
      await using stores = await open();
      const unavailableSince = stores.clock.steady();
      const host: HostRecord = {
        host: "a.test",
        closedUntil: 0,
        failuresInARow: 1,
        breakerMs: 0,
        breakerUntil: 0,
        unavailableSince,
        concurrencyLimit: 1,
        slowedAt: 0,
      };
      const never = { ...host, host: "b.test", unavailableSince: undefined };
      await stores.now(stores.queue.hosts.note(() => [host, never]));
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, false);
      const known = new Map((await stores.queue.hosts.known()).map((each) => [each.host, each.unavailableSince]));
      expect([known.get("a.test"), known.get("b.test")]).toEqual([unavailableSince + 60_000, undefined]);
    });

    test("that was the last one does not count in a time before now", async () => {
      await using stores = await open();
      const { control } = stores.queue;
      const now = stores.clock.steady();
      expect(control.timeBefore(1000)).toBe(now - 1000);
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, false);
      await stores.clock.advance(5000);
      expect(control.timeBefore(5000)).toBe(now + 60_000);
      expect(control.timeBefore(6000)).toBe(now - 1000);
    });

    test("leaves every task and every due time as it is for those that may claim", async () => {
      await using stores = await open();
      const [one, two] = await claimedJob(stores, 2);
      const now = stores.clock.steady();
      await settle(stores, present(one), retryAt(now + 1000));
      await pause(stores, true);
      await settle(stores, present(two), retryAt(now + 90_000));
      await stores.clock.advance(60_000);
      await pause(stores, false);
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 2 });
      expect((await claimAll(stores)).map(({ id }) => id)).toEqual([present(one).id]);
      expect(await stores.queue.control.nextDueMs()).toBe(30_000);
      await stores.expectTrueCounters();
    });
  });
}

const GAP_MS = 100;

/** Ten dead letters, replayed at ten a second from now on. */
async function replayed(stores: BackendStores): Promise<void> {
  const tasks = await claimedJob(stores, 10);
  for (const task of tasks) await settle(stores, task, discard);
  const from = stores.clock.steady();
  const replays = tasks.map(({ id, task }, at) => ({ id, task, history: [attempt], availableAt: from + at * GAP_MS }));
  expect(await stores.now(stores.queue.deadLetters.replay(replays))).toBe(10);
}

/** How many tasks become due in each of the next steps. */
async function dueBySteps(stores: BackendStores, steps: number): Promise<number[]> {
  const due: number[] = [];
  for (let step = 0; step < steps; step++) {
    due.push((await claimAll(stores)).length);
    await stores.clock.advance(GAP_MS);
  }
  return due;
}

function describeReplayRate(open: OpenBackend): void {
  describe("the rate of a replay", () => {
    test("holds over a pause", async () => {
      await using stores = await open();
      await replayed(stores);
      expect(await dueBySteps(stores, 3)).toEqual([1, 1, 1]);
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, true); // says nothing new
      await stores.clock.advance(60_000);
      await pause(stores, false);
      expect(await dueBySteps(stores, 8)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
      await stores.expectTrueCounters();
    });

    test("makes the first one due at the end of a pause, and no reader sees it due before", async () => {
      await using stores = await open();
      await replayed(stores);
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, false);
      expect(await stores.queue.control.oldestPendingAgeMs()).toBe(0);
      expect(await stores.queue.source.lanes(10)).toMatchObject([{ waiting: 10, nextDue: stores.clock.steady() }]);
    });

    test("counts from the end of a pause where it began in one", async () => {
      await using stores = await open();
      await pause(stores, true);
      await stores.clock.advance(3_600_000);
      await replayed(stores);
      await stores.clock.advance(500);
      await pause(stores, false);
      expect(await dueBySteps(stores, 11)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    });

    test("holds over a time without a process, also in a pause", async () => {
      await using stores = await open();
      await replayed(stores);
      await pause(stores, true);
      await stores.crash();
      await stores.clock.advance(10_000);
      await recover(stores);
      await stores.clock.advance(10_000);
      await pause(stores, false);
      expect(await dueBySteps(stores, 3)).toEqual([1, 1, 1]);
      stores.clock.tick(2000); // so that the commit notes the time
      await claimAll(stores, 1);
      await stores.crash();
      await stores.clock.advance(30_000);
      await recover(stores);
      await stores.expectTrueCounters();
      expect((await stores.queue.control.depth()).retrying).toBe(10);
    });

    test("moves with the operation that replays, so that its rest follows", async () => {
      await using stores = await open();
      const replay = {
        kind: "replay",
        filter: {},
        overrides: {},
        ratePerSecond: 10,
        matched: 10,
        startedBy: null,
      } as const;
      const paced = await stores.now(stores.queue.deadLetters.begin(replay));
      const atOnce = await stores.now(stores.queue.deadLetters.begin({ ...replay, ratePerSecond: undefined }));
      await replayed(stores);
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, false);
      const dueFrom = async (id: number) => present(await stores.queue.deadLetters.operation(id)).dueFrom;
      expect([await dueFrom(paced.id), await dueFrom(atOnce.id)]).toEqual([paced.dueFrom + 60_000, atOnce.dueFrom]);
    });

    test("delays no other task", async () => {
      await using stores = await open();
      const other = firstOf(await claimedJob(stores, 1));
      await settle(stores, other, retryAt(stores.clock.steady() + 5000));
      await replayed(stores);
      await pause(stores, true);
      await stores.clock.advance(60_000);
      await pause(stores, false);
      // The one that was to be tried again in the pause, and the first two that follow at the rate.
      expect(await dueBySteps(stores, 2)).toEqual([2, 1]);
    });
  });
}

function describeFigures(open: OpenBackend): void {
  describe("the figures of the queue", () => {
    test("count tasks by state, and no later read of a job is older", async () => {
      await using stores = await open();
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
      const [a, b, c, d] = await claimedJob(stores, 5);
      await settle(stores, present(a), complete);
      await settle(stores, present(b), discard);
      await settle(stores, present(c), retryAt(stores.clock.steady() + 1000));
      await stores.now(stores.queue.settlements.release(present(d)));
      expect(await stores.queue.control.depth()).toEqual({ pending: 1, running: 1, retrying: 1 });
      expect(await jobOf(stores, present(a).job.jobId)).toMatchObject({ completed: 1, failed: 1, cancelled: 0 });
    });

    test("tell how long the longest due task has been due, a claimed one that no worker has started among them", async () => {
      await using stores = await open();
      const { control } = stores.queue;
      expect(await control.oldestPendingAgeMs()).toBe(0);
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      await stores.clock.advance(700);
      expect(await control.oldestPendingAgeMs()).toBe(700);
      const claimed = firstOf(await claimAll(stores));
      expect(await control.oldestPendingAgeMs()).toBe(0);
      await stores.clock.advance(300);
      expect(await control.oldestPendingAgeMs()).toBe(300);
      await stores.now(stores.queue.settlements.markStarted(claimed));
      expect(await control.oldestPendingAgeMs()).toBe(0);
      await settle(stores, claimed, retryAt(stores.clock.steady() + 100));
      expect(await control.oldestPendingAgeMs()).toBe(0);
      await stores.clock.advance(150);
      expect(await control.oldestPendingAgeMs()).toBe(50);
    });

    test("tell when the first waiting task is due, among the hosts that are asked for", async () => {
      await using stores = await open();
      const { control } = stores.queue;
      expect(await control.nextDueMs()).toBeUndefined();
      await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(2, ["a.test", "b.test"]))));
      const claimed = await claimAll(stores);
      expect(await control.nextDueMs()).toBeUndefined();
      const now = stores.clock.steady();
      for (const task of claimed) await settle(stores, task, retryAt(now + (task.host === "a.test" ? 1000 : 3000)));
      const asked: string[] = [];
      const only = (host: string) => (each: string) => {
        asked.push(each);
        return each === host;
      };
      expect(await control.nextDueMs()).toBe(1000);
      expect(await control.nextDueMs(only("b.test"))).toBe(3000);
      expect(await control.nextDueMs(only("c.test"))).toBeUndefined();
      expect(asked).toContain("a.test");
      await stores.clock.advance(2000);
      expect([await control.nextDueMs(), await control.nextDueMs(only("b.test"))]).toEqual([0, 1000]);
    });

    test("name the hosts with most waiting tasks, over all jobs", async () => {
      await using stores = await open();
      const { acceptor, control } = stores.queue;
      await stores.now(acceptor.accept(acceptance(newTasks(3, ["a.test", "b.test", "b.test"]))));
      await stores.now(acceptor.accept(acceptance(newTasks(4, ["b.test", "c.test"]))));
      await stores.now(acceptor.stage(acceptance().job, newTasks(9, ["d.test"])));
      expect([...(await control.busiestHosts(10))]).toEqual([
        ["b.test", 4],
        ["c.test", 2],
        ["a.test", 1],
      ]);
      expect([...(await control.busiestHosts(1)).keys()]).toEqual(["b.test"]);
      expect(await control.waitingForBucket("artifacts", 4)).toBe(7);
      expect(await control.waitingForBucket("artifacts", 3)).toBeUndefined();
      expect(await control.waitingForBucket("another", 4)).toBe(0);
      await claimAll(stores, 1);
      expect(new Map(await control.busiestHosts(10))).toEqual(
        new Map([
          ["b.test", 2],
          ["c.test", 1],
        ]),
      );
    });

    test("list the hosts with waiting tasks in parts, and those whose names contain a text", async () => {
      await using stores = await open();
      const { acceptor, control } = stores.queue;
      const names = Array.from(
        { length: 130 },
        (_, i) => `h${String(i).padStart(3, "0")}.${i % 10 === 7 ? "b" : "a"}.test`,
      );
      await stores.now(acceptor.accept(acceptance(newTasks(131, ["h129.a.test", ...names]))));
      const seen: string[] = [];
      let after: WaitingHost | undefined;
      do {
        const part: WaitingHosts = await control.waitingHosts({ after, limit: 50 });
        seen.push(...part.hosts.keys());
        after = part.next;
      } while (after !== undefined);
      expect(seen).toEqual(["h129.a.test", ...names.slice(0, -1)]);
      const found = await control.waitingHosts({ limit: 50, contains: ".b.t" });
      expect([[...found.hosts.keys()], found.next]).toEqual([names.filter((name) => name.includes(".b.")), undefined]);
      expect(await control.waitingOf(["h129.a.test", "h000.a.test", "none.test"])).toEqual(
        new Map([
          ["h129.a.test", 2],
          ["h000.a.test", 1],
        ]),
      );
    });
  });
}

function describeTasksOfJob(open: OpenBackend): void {
  test("tasks of a job are those of some states, in order of their ids, page by page", async () => {
    await using stores = await open();
    const claimed = await claimedJob(stores, 6);
    await stores.now(stores.queue.acceptor.accept(acceptance(2)));
    const [done, failed, cancelled, waiting, running] = claimed;
    await settle(stores, present(done), complete);
    await settle(stores, present(failed), discard);
    await settle(stores, present(cancelled), { kind: "cancel" });
    await settle(stores, present(waiting), retryAt(stores.clock.steady() + 1000));
    await stores.now(stores.queue.settlements.markStarted(present(running)));
    const job = await jobOf(stores, present(done).job.jobId);
    const { control } = stores.queue;
    const read = async (afterId: number, limit: number) =>
      (await control.tasksOfJob({ job, afterId, limit }, TASK_STATES)).map(({ id, state }) => [id, state] as const);
    const all = ["completed", "failed", "cancelled", "retrying", "running", "pending"] as const;
    const ids = claimed.map(({ id }) => id);
    expect(await read(0, 100)).toEqual(all.map((state, at) => [present(ids[at]), state]));
    expect(await read(present(ids[1]), 2)).toEqual([
      [present(ids[2]), "cancelled"],
      [present(ids[3]), "retrying"],
    ]);
    for (const [at, state] of TASK_STATES.map((each) => [all.indexOf(each), each] as const)) {
      const [one, ...others] = await control.tasksOfJob({ job, afterId: 0, limit: 10 }, [state]);
      expect([one?.id, one?.state, others]).toEqual([present(ids[at]), state, []]);
      expect(one?.task).toEqual(at < 3 ? undefined : present(claimed[at]).task);
    }
    expect(await control.tasksOfJob({ job, afterId: 0, limit: 10 }, [])).toEqual([]);
  });
}
