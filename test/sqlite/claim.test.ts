import { describe, expect, test } from "bun:test";
import type { Lane } from "../../src/jobs/lane.ts";
import { openTestStores } from "../support/stores.ts";
import { expectTrueCounters } from "./recount.ts";
import { acceptance, claimAll, claimedJob, complete, newJob, newTasks, retryAt, settle } from "./sample-jobs.ts";

describe("a claim", () => {
  test("takes due tasks only, the first due first, no more than asked for", async () => {
    await using stores = openTestStores();
    const tasks = await claimedJob(stores, 4);
    const now = stores.clock.now();
    const waits = [300, 100, 200, 100_000];
    for (const [i, task] of tasks.entries()) await settle(stores, task, retryAt(now + (waits[i] ?? 0)));
    expect(await claimAll(stores)).toEqual([]);
    await stores.clock.advance(99);
    expect(await claimAll(stores)).toEqual([]);
    await stores.clock.advance(151);
    expect((await claimAll(stores, 1)).map(({ id }) => id)).toEqual([2]);
    expect((await claimAll(stores, 10)).map(({ id }) => id)).toEqual([3]);
    await stores.clock.advance(50);
    expect((await claimAll(stores, 10)).map(({ id }) => id)).toEqual([1]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 3, retrying: 1 });
    expect(await stores.queue.source.lanes(10)).toMatchObject([{ waiting: 1, nextDue: now + 100_000 }]);
    await expectTrueCounters(stores);
  });

  test("tells what its lanes hold afterwards, empty ones too", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(6, ["a.test", "b.test"]))));
    const [a, b] = await stores.queue.source.lanes(10);
    const lanes: Lane[] = [];
    stores.queue.source.onLane((lane) => lanes.push(lane));
    await stores.now(
      stores.queue.source.claim([
        { lane: a?.id ?? 0, limit: 2 },
        { lane: b?.id ?? 0, limit: 9 },
      ]),
    );
    expect(lanes.map(({ host, waiting }) => ({ host, waiting }))).toEqual([
      { host: "a.test", waiting: 1 },
      { host: "b.test", waiting: 0 },
    ]);
  });

  test("of many lanes leaves what is not due yet, and what is over a lane's limit", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(12, ["a.test", "b.test", "c.test"]))));
    const lane = firstOf((await stores.queue.source.lanes(10)).filter(({ host }) => host === "a.test")).id;
    const first = firstOf(await stores.now(stores.queue.source.claim([{ lane, limit: 1 }])));
    await settle(stores, first, retryAt(stores.clock.now() + 1000));
    const requests = (await stores.queue.source.lanes(10)).map(({ id, host }) => ({
      lane: id,
      limit: host === "b.test" ? 1 : 9,
    }));
    const claimed = await stores.now(stores.queue.source.claim(requests));
    const counts = Map.groupBy(claimed, ({ host }) => host);
    expect(["a.test", "b.test", "c.test"].map((host) => counts.get(host)?.length)).toEqual([3, 1, 4]);
    expect(claimed).not.toContainEqual(expect.objectContaining({ id: first.id }));
    expect(await stores.queue.control.depth()).toEqual({ pending: 3, running: 8, retrying: 1 });
    await expectTrueCounters(stores);
  });

  test("of two in one commit gets different tasks under different ids", async () => {
    await using stores = openTestStores();
    await stores.now(stores.queue.acceptor.accept(acceptance(5)));
    const request = [{ lane: firstOf(await stores.queue.source.lanes(1)).id, limit: 3 }];
    const claims = [stores.queue.source.claim(request), stores.queue.source.claim(request)];
    stores.queue.flush();
    const [first = [], second = []] = await Promise.all(claims);
    expect([first.map(({ id }) => id), second.map(({ id }) => id)]).toEqual([
      [1, 2, 3],
      [4, 5],
    ]);
    expect(new Set([...first, ...second].map(({ claimId }) => claimId)).size).toBe(2);
  });

  test("starts its job once, even across a restart", async () => {
    await using stores = openTestStores();
    const job = newJob();
    await stores.now(stores.queue.acceptor.accept(acceptance(3, { job })));
    await claimAll(stores, 1);
    expect((await stores.stores.ledger.findJob(job.jobId))?.status).toBe("in_progress");
    stores.reopen();
    const before = stores.stores.outbox.length;
    await claimAll(stores, 1);
    expect(stores.stores.outbox.length).toBe(before);
    await expectTrueCounters(stores);
  });

  test("of a lane that is gone takes nothing and does no harm", async () => {
    await using stores = openTestStores();
    const task = firstOf(await claimedJob(stores));
    await settle(stores, task, complete);
    await stores.now(stores.queue.acceptor.accept(acceptance(1)));
    const lane = firstOf(await stores.queue.source.lanes(1)).id;
    const claimed = await stores.now(
      stores.queue.source.claim([
        { lane: task.lane, limit: 5 },
        { lane, limit: 5 },
      ]),
    );
    expect(claimed.length).toBe(1);
    await expectTrueCounters(stores);
  });
});

function firstOf<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new Error("there is none");
  return first;
}
