import { describe, expect, test } from "bun:test";
import type { Lane } from "../../src/jobs/lane.ts";
import { turn } from "../support/clock.ts";
import { eventually } from "../support/eventually.ts";
import { acceptance, claimAll, complete, newJob, newTasks, present } from "../support/sample-jobs.ts";
import { countedUntil, openTestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";

test("a lane's number is never given again, though its lane is gone and a later one has got none yet", async () => {
  await using stores = openTestStores();
  const { acceptor } = stores.queue;
  const idsOf = () => stores.read("queue", "SELECT id FROM lanes").map((row) => (row as { id: number }).id);
  const hosts = ["a.test", "b.test", "c.test"];
  const staged = await stores.now(acceptor.stage(newJob(), newTasks(3, hosts)));
  const first = idsOf();
  const unstaged = acceptor.unstage(staged);
  await untilDone(unstaged, () => stores.queue.flush());
  expect(idsOf()).toEqual([]);
  const job = newJob();
  const part = await stores.now(acceptor.stage(job, newTasks(2, ["a.test", "b.test"])));
  await stores.now(acceptor.accept(acceptance(newTasks(2, ["b.test", "d.test"]), { job, staged: part })));
  await stores.now(acceptor.accept(acceptance(newTasks(2, hosts))));
  const later = idsOf();
  expect(later.length).toBe(5);
  expect(Math.min(...later)).toBeGreaterThan(Math.max(...first));
  await expectTrueCounters(stores);
});

test("an acceptance tells of the lanes that it wrote as they stand in the store, with its commit", async () => {
  await using stores = openTestStores();
  const told: Lane[] = [];
  stores.queue.source.onLane((lane) => told.push(lane));
  const hosts = Array.from({ length: 700 }, (_, at) => `h${at}.test`);
  await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(1000, hosts))));
  expect(told.length).toBe(700);
  expect(told.toSorted((a, b) => a.id - b.id)).toEqual(await stores.queue.source.lanes(1000));
});

describe("a job ends", () => {
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
      let jobs = await stores.queue.retention.prunableJobs(before, 10);
      jobs.length > 0;
      jobs = await stores.queue.retention.prunableJobs(before, 10)
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
    const tasksOfHosts = newTasks(2500, hosts);
    const staged = await stores.now(stores.queue.acceptor.stage(job, tasksOfHosts.slice(0, 2000)));
    await stores.now(stores.queue.acceptor.accept(acceptance(tasksOfHosts.slice(2000), { job, staged })));
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
    const { job: seq } = present(await untilDone(cancelling, () => turns++));
    expect([...toldIn.values()]).toEqual([500, 500, 500, 500, 500]);
    const tasks = (await stores.queue.cancellations.waiting(seq, 0, 5000)).map(({ id }) => id);
    const cancelled = stores.queue.cancellations.cancelWaiting(seq, tasks);
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
