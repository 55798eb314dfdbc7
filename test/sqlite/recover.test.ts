import { describe, expect, test } from "bun:test";
import type { PoisonTask } from "../../src/jobs/stores/recovery.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { acceptance, attempt, claimAll, claimedJob, complete, release, retryAt, settle } from "./sample-jobs.ts";

async function recover(
  stores: TestStores,
): Promise<{ interrupted: number; suspects: number; sweptJobs: number; poison: PoisonTask[] }> {
  const poison: PoisonTask[] = [];
  const recovered = await stores.queue.recover((task) => {
    poison.push(task);
    return Promise.resolve();
  });
  return { ...recovered, poison };
}

describe("recover", () => {
  test("puts back what was claimed, with one crash more and no attempt spent", async () => {
    await using stores = openTestStores();
    const tasks = await claimedJob(stores, 5);
    for (const task of tasks.slice(0, 2)) await settle(stores, task, retryAt(stores.clock.now()));
    await settle(stores, tasks[4] ?? never(), complete);
    await claimAll(stores, 1);
    stores.crash();
    expect(await recover(stores)).toEqual({ interrupted: 3, suspects: 0, sweptJobs: 0, poison: [] });
    expect(await stores.queue.control.depth()).toEqual({ pending: 2, running: 0, retrying: 2 });
    await expectTrueCounters(stores);
    const again = await claimAll(stores);
    expect(again.map(({ id, crashes, attempts }) => ({ id, crashes, attempts }))).toEqual([
      { id: 1, crashes: 1, attempts: 1 },
      { id: 2, crashes: 0, attempts: 1 },
      { id: 3, crashes: 1, attempts: 0 },
      { id: 4, crashes: 1, attempts: 0 },
    ]);
  });

  test("finds nothing after a stop that released its tasks", async () => {
    await using stores = openTestStores();
    for (const task of await claimedJob(stores, 3)) await settle(stores, task, release);
    stores.reopen();
    expect(await recover(stores)).toEqual({ interrupted: 0, suspects: 0, sweptJobs: 0, poison: [] });
    expect((await claimAll(stores)).map(({ crashes, mayHaveStored }) => crashes > 0 || mayHaveStored)).toEqual([
      false,
      false,
      false,
    ]);
  });

  test("dead-letters a task at its fifth crash and ends its job", async () => {
    await using stores = openTestStores();
    const [task = never()] = await claimedJob(stores, 1);
    await settle(stores, task, retryAt(stores.clock.now()));
    const begunAt: number[] = [];
    const claim = () => {
      stores.clock.tick(60_000);
      begunAt.push(stores.clock.now());
      return claimAll(stores);
    };
    await claim();
    for (let crash = 1; crash <= 4; crash++) {
      stores.crash();
      expect(await recover(stores)).toMatchObject({ poison: [], suspects: crash < 3 ? 0 : 1 });
      const [again = never()] = await claim();
      expect(again.crashes).toBe(crash);
      await stores.now(stores.queue.settlements.markStarted(again));
    }
    stores.crash();
    const { poison } = await recover(stores);
    expect(poison).toEqual([{ id: 1, jobId: task.job.jobId, task: task.task }]);
    const deadLetter = await stores.stores.deadLetters.find(1);
    expect(deadLetter).toMatchObject({ code: "TASK_INTERRUPTED", attempts: 1, resourceId: "r0", host: "origin.test" });
    expect(deadLetter?.history.map(({ code, startedAt }) => [code, startedAt])).toEqual([
      [attempt.code, attempt.startedAt],
      ...begunAt.map((at) => ["TASK_INTERRUPTED", at]),
    ]);
    expect((await stores.stores.ledger.findJob(task.job.jobId))?.status).toBe("failed");
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 0, retrying: 0 });
    await expectTrueCounters(stores);
    expect(await recover(stores)).toEqual({ interrupted: 0, suspects: 0, sweptJobs: 0, poison: [] });
  });

  test("counts a crash against started tasks, and not against those that waited in memory", async () => {
    await using stores = openTestStores();
    for (let crash = 1; crash <= 5; crash++) {
      const [ran = never(), ...waited] = crash === 1 ? await claimedJob(stores, 4) : await claimAll(stores);
      expect(waited).toHaveLength(3);
      const marked = stores.queue.settlements.markStarted(ran);
      stores.queue.flush();
      await marked;
      stores.crash();
      expect((await recover(stores)).poison.map(({ id }) => id)).toEqual(crash === 5 ? [ran.id] : []);
    }
    // They may have been at work all the same: that they began had perhaps not been noted yet.
    const waited = { crashes: 0, mayHaveStored: true };
    expect((await claimAll(stores)).map(({ crashes, mayHaveStored }) => ({ crashes, mayHaveStored }))).toEqual([
      waited,
      waited,
      waited,
    ]);
    await expectTrueCounters(stores);
  });

  test("a suspect is first in its lane, counts a crash only where its start is noted, and is no suspect after its end", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(4)));
    const lane = (await stores.queue.source.lanes(1))[0]?.id ?? never();
    stores.tamper("queue", "UPDATE tasks SET crashes = 2 WHERE id = 2");
    const claimed = await stores.now(stores.queue.source.claim([{ lane, limit: 2 }]));
    for (const task of claimed) await stores.now(stores.queue.settlements.markStarted(task));
    stores.crash();
    expect((await recover(stores)).suspects).toBe(1);
    const next = async () => {
      stores.clock.tick(1);
      const [task = never()] = await stores.now(stores.queue.source.claim([{ lane, limit: 1 }]));
      return task;
    };
    const suspect = await next();
    expect([suspect.id, suspect.crashes]).toEqual([2, 3]);
    stores.crash(); // before it ran
    await recover(stores);
    const again = await next();
    expect([again.id, again.crashes]).toEqual([2, 3]);
    await settle(stores, again, retryAt(stores.clock.now()));
    expect((await claimAll(stores)).find(({ id }) => id === 2)?.crashes).toBe(0);
    await expectTrueCounters(stores);
  });

  test("counts no crash for tasks that the process before had started", async () => {
    await using stores = openTestStores();
    const [ran = never()] = await claimedJob(stores, 1);
    await stores.now(stores.queue.settlements.markStarted(ran));
    stores.crash();
    await recover(stores);
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    const [again = never(), other = never()] = await claimAll(stores);
    expect([again.id, again.crashes]).toEqual([ran.id, 1]);
    await stores.now(stores.queue.settlements.markStarted(other));
    stores.crash();
    await recover(stores);
    expect((await claimAll(stores)).map(({ id, crashes }) => [id, crashes])).toEqual([
      [ran.id, 1],
      [other.id, 1],
    ]);
  });

  test("does not trust the list of started tasks of an earlier process", async () => {
    await using stores = openTestStores();
    const [ran = never()] = await claimedJob(stores, 1);
    await stores.now(stores.queue.settlements.markStarted(ran));
    stores.crash();
    await recover(stores);
    await claimAll(stores);
    const job = { seq: ran.job.seq, firstTask: ran.id, lastTask: ran.id };
    const shown = await stores.queue.control.tasksOfJob({ job, afterId: 0, limit: 10 }, ["pending", "running"]);
    expect(shown.map(({ state }) => state)).toEqual(["pending"]);
  });

  test("counts no crash after a second stop signal, and the next crash counts again", async () => {
    await using stores = openTestStores();
    await claimedJob(stores, 1);
    stores.queue.abandon();
    stores.crash();
    await recover(stores);
    expect((await claimAll(stores)).map(({ crashes, mayHaveStored }) => [crashes, mayHaveStored])).toEqual([[0, true]]);
    stores.crash();
    await recover(stores);
    expect((await claimAll(stores)).map(({ crashes }) => crashes)).toEqual([1]);
  });

  test("a claimed task that no worker has started is shown as waiting", async () => {
    await using stores = openTestStores();
    const [task = never()] = await claimedJob(stores, 1);
    const shown = () =>
      stores.queue.control.tasksOfJob(
        { job: { seq: task.job.seq, firstTask: 1, lastTask: task.id }, afterId: 0, limit: 10 },
        ["pending", "running"],
      );
    expect((await shown()).map(({ state }) => state)).toEqual(["pending"]);
    const marked = stores.queue.settlements.markStarted(task);
    stores.queue.flush();
    await marked;
    expect((await shown()).map(({ state }) => state)).toEqual(["running"]);
  });

  test("that is itself cut short buries and counts once", async () => {
    await using stores = openTestStores();
    await claimedJob(stores, 1);
    for (let crash = 1; crash <= 4; crash++) {
      stores.crash();
      await recover(stores);
      const [again = never()] = await claimAll(stores);
      await stores.now(stores.queue.settlements.markStarted(again));
    }
    stores.crash();
    const cut = stores.queue.recover(() => Promise.reject(new Error("killed while it cleaned up")));
    expect(await cut.catch((error: Error) => error.message)).toBe("killed while it cleaned up");
    stores.crash();
    expect((await recover(stores)).poison.length).toBe(1);
    expect(await stores.stores.deadLetters.size()).toBe(1);
    await expectTrueCounters(stores);
  });

  test("puts back more than one batch takes", async () => {
    await using stores = openTestStores();
    await claimedJob(stores, 1201);
    await claimAll(stores); // the rest
    stores.crash();
    expect((await recover(stores)).interrupted).toBe(1201);
    expect(await stores.queue.control.depth()).toEqual({ pending: 1201, running: 0, retrying: 0 });
    await expectTrueCounters(stores);
  });
});

function never(): never {
  throw new Error("something is missing");
}
