import { describe, expect, test } from "bun:test";
import type { Lane } from "../../../src/jobs/lane.ts";
import {
  acceptance,
  attempt,
  claimAll,
  claimedJob,
  complete,
  firstOf,
  newJob,
  newTasks,
  present,
  release,
  retryAt,
  settle,
} from "../../support/sample-jobs.ts";
import { type BackendStores, jobOf, type OpenBackend } from "./backend.ts";

/** The promises of `TaskSource`. */
export function describeTaskSource(open: OpenBackend): void {
  describeClaims(open);
  describeClaimsOfLanes(open);
  describeLanes(open);
}

const byName = (a: readonly unknown[], b: readonly unknown[]) => String(a).localeCompare(String(b));

/** Notes each lane that the source announces: its host and how many tasks wait. */
function announced({ queue }: BackendStores): [string, number][] {
  const lanes: [string, number][] = [];
  queue.source.onLane(({ host, waiting }) => lanes.push([host, waiting]));
  return lanes;
}

function describeClaims(open: OpenBackend): void {
  describe("a claim", () => {
    test("takes due tasks only, the first due first, no more than asked for", async () => {
      await using stores = await open();
      const tasks = await claimedJob(stores, 4);
      const now = stores.clock.now();
      const waits = [300, 100, 200, 100_000];
      for (const [i, task] of tasks.entries()) await settle(stores, task, retryAt(now + (waits[i] ?? 0)));
      expect(await claimAll(stores)).toEqual([]);
      await stores.clock.advance(99);
      expect(await claimAll(stores)).toEqual([]);
      await stores.clock.advance(151);
      const ids = tasks.map(({ id }) => id);
      expect((await claimAll(stores, 1)).map(({ id }) => id)).toEqual(ids.slice(1, 2));
      expect((await claimAll(stores, 10)).map(({ id }) => id)).toEqual(ids.slice(2, 3));
      await stores.clock.advance(50);
      expect((await claimAll(stores, 10)).map(({ id }) => id)).toEqual(ids.slice(0, 1));
      expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 3, retrying: 1 });
      expect(await stores.queue.source.lanes(10)).toMatchObject([{ waiting: 1, nextDue: now + 100_000 }]);
      await stores.expectTrueCounters();
    });

    test("takes what is due at a time of the caller's choice", async () => {
      await using stores = await open();
      const [early, late] = await claimedJob(stores, 2);
      const now = stores.clock.steady();
      await settle(stores, present(early), retryAt(now + 500));
      await settle(stores, present(late), retryAt(now + 501));
      const request = [{ lane: present(early).lane, limit: 9 }];
      expect(await stores.now(stores.queue.source.claim(request, now + 499))).toEqual([]);
      const claimed = await stores.now(stores.queue.source.claim(request, now + 500));
      expect(claimed.map(({ id }) => id)).toEqual([present(early).id]);
      expect(await stores.now(stores.queue.source.claim(request))).toEqual([]);
    });

    test("takes a host's first task once that was brought forward, and no other", async () => {
      await using stores = await open();
      const { source } = stores.queue;
      await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(3, ["a.test", "a.test", "b.test"]))));
      for (const [i, task] of (await claimAll(stores)).entries()) {
        await settle(stores, task, retryAt(stores.clock.steady() + 60_000 - i));
      }
      const lanes = announced(stores);
      expect(await stores.now(source.bringForward("c.test"))).toBe(false);
      expect(await stores.now(source.bringForward("a.test"))).toBe(true);
      expect(lanes).toEqual([["a.test", 2]]);
      expect(await stores.now(source.bringForward("a.test"))).toBe(false);
      expect((await claimAll(stores)).map(({ task }) => task.resourceId)).toEqual(["r1"]);
      expect(await stores.queue.control.nextDueMs()).toBe(60_000 - 2);
      await stores.expectTrueCounters();
    });

    test("gives a task with all that its attempts left", async () => {
      await using stores = await open();
      const tasks = newTasks(1, ["a.test:81"]);
      const header = await stores.now(stores.queue.acceptor.accept(acceptance(tasks)));
      const first = firstOf(await claimAll(stores));
      const { lane, claimId, id } = first;
      const { url, resourceId, bucket, key } = firstOf(tasks);
      expect(first).toMatchObject({ job: header, task: { url, resourceId, bucket, key }, host: "a.test:81" });
      expect(first).toMatchObject({ attempts: 0, crashes: 0, mayHaveStored: false, history: [] });
      expect(first.waitingSince).toBeUndefined();
      await settle(stores, first, retryAt(stores.clock.steady()));
      const second = firstOf(await claimAll(stores));
      expect(second).toMatchObject({ id, lane, job: header, attempts: 1, history: [attempt] });
      expect(second.claimId).not.toBe(claimId);
    });

    test("of two in one commit gets different tasks under different ids", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(5)));
      const request = [{ lane: firstOf(await stores.queue.source.lanes(1)).id, limit: 3 }];
      const claims = [stores.queue.source.claim(request), stores.queue.source.claim(request)];
      const [first = [], second = []] = await stores.now(Promise.all(claims));
      const ids = [...first, ...second].map(({ id }) => id);
      expect([first.length, second.length, new Set(ids).size]).toEqual([3, 2, 5]);
      expect(new Set([...first, ...second].map(({ claimId }) => claimId)).size).toBe(2);
    });

    test("starts its job, and once only, also across a crash", async () => {
      await using stores = await open();
      const job = newJob({ createdAt: stores.clock.now() });
      await stores.now(stores.queue.acceptor.accept(acceptance(3, { job })));
      expect((await jobOf(stores, job.jobId)).status).toBe("queued");
      await stores.clock.advance(1000);
      await claimAll(stores, 1);
      const started = await jobOf(stores, job.jobId);
      expect([started.status, started.updatedAt]).toEqual(["in_progress", stores.clock.now()]);
      await stores.crash();
      await stores.clock.advance(1000);
      await claimAll(stores, 1);
      expect(await jobOf(stores, job.jobId)).toEqual(started);
      await stores.expectTrueCounters();
    });
  });
}

function describeClaimsOfLanes(open: OpenBackend): void {
  describe("a claim", () => {
    test("tells what its lanes hold afterwards, empty ones too", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(6, ["a.test", "b.test"]))));
      const [a, b] = await stores.queue.source.lanes(10);
      const lanes = announced(stores);
      const requests = [
        { lane: present(a).id, limit: 2 },
        { lane: present(b).id, limit: 9 },
      ];
      await stores.now(stores.queue.source.claim(requests));
      expect(lanes.sort(byName)).toEqual([
        [present(a).host, 1],
        [present(b).host, 0],
      ]);
    });

    test("of many lanes leaves what is not due yet, and what is over a lane's limit", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(12, ["a.test", "b.test", "c.test"]))));
      const lane = firstOf((await stores.queue.source.lanes(10)).filter(({ host }) => host === "a.test")).id;
      const first = firstOf(await stores.now(stores.queue.source.claim([{ lane, limit: 1 }])));
      await settle(stores, first, retryAt(stores.clock.now() + 1000));
      const lanes = await stores.queue.source.lanes(10);
      const requests = lanes.map(({ id, host }) => ({ lane: id, limit: host === "b.test" ? 1 : 9 }));
      const claimed = await stores.now(stores.queue.source.claim(requests));
      const counts = Map.groupBy(claimed, ({ host }) => host);
      expect(["a.test", "b.test", "c.test"].map((host) => counts.get(host)?.length)).toEqual([3, 1, 4]);
      expect(claimed).not.toContainEqual(expect.objectContaining({ id: first.id }));
      expect(await stores.queue.control.depth()).toEqual({ pending: 3, running: 8, retrying: 1 });
      await stores.expectTrueCounters();
    });

    test("leaves the tasks of a large job beside those of a small one", async () => {
      await using stores = await open();
      await stores.now(stores.queue.acceptor.accept(acceptance(500)));
      const small = await stores.now(stores.queue.acceptor.accept(acceptance(2)));
      const claimed = await claimAll(stores, 2);
      expect(claimed.length).toBe(4);
      expect(claimed.filter(({ job }) => job.jobId === small.jobId).length).toBe(2);
    });

    test("of a lane that is gone takes nothing and does no harm", async () => {
      await using stores = await open();
      const task = firstOf(await claimedJob(stores));
      await settle(stores, task, complete);
      await stores.now(stores.queue.acceptor.accept(acceptance(1)));
      const lane = firstOf(await stores.queue.source.lanes(1)).id;
      const requests = [
        { lane: task.lane, limit: 5 },
        { lane, limit: 5 },
      ];
      expect((await stores.now(stores.queue.source.claim(requests))).length).toBe(1);
      await stores.expectTrueCounters();
    });
  });
}

function describeLanes(open: OpenBackend): void {
  describe("lanes", () => {
    test("are those of one job for one host and one bucket", async () => {
      await using stores = await open();
      const [one, two, three, four] = newTasks(4, ["a.test", "a.test", "b.test", "a.test"]);
      const tasks = [present(one), { ...present(two), bucket: "other" }, present(three), present(four)];
      const header = await stores.now(stores.queue.acceptor.accept(acceptance(tasks)));
      const lanes = (await stores.queue.source.lanes(10)).map(({ job, host, bucket, waiting }) => {
        expect(job).toEqual(header);
        return [host, bucket, waiting];
      });
      expect(lanes.sort(byName)).toEqual([
        ["a.test", "artifacts", 2],
        ["a.test", "other", 1],
        ["b.test", "artifacts", 1],
      ]);
    });

    test("come page by page: the first due first, or in order of their ids", async () => {
      await using stores = await open();
      const hosts = Array.from({ length: 7 }, (_, i) => `h${i}.test`);
      await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(7, hosts))));
      const now = stores.clock.steady();
      const waits = [50, 10, 30, 10, 70, 20, 40];
      for (const [at, task] of (await claimAll(stores)).entries()) {
        await settle(stores, task, retryAt(now + (waits[at] ?? 0)));
      }
      const byDue = await pagesOf((after?: Lane) => stores.queue.source.lanes(2, after));
      expect(byDue.map(({ nextDue }) => nextDue - now)).toEqual([10, 10, 20, 30, 40, 50, 70]);
      expect(byDue).toEqual(await stores.queue.source.lanes(100));
      const byId = await pagesOf((after?: Lane) => stores.queue.source.lanesAfter(after?.id ?? 0, 3));
      expect(byId).toEqual(byDue.toSorted((a, b) => a.id - b.id));
    });

    test("without a waiting task, and those of a cancelled job, are left out", async () => {
      await using stores = await open();
      const cancelled = await stores.now(stores.queue.acceptor.accept(acceptance(2)));
      const live = await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(2, ["a.test", "b.test"]))));
      const lanes = await stores.queue.source.lanes(10);
      const empty = present(lanes.find(({ host }) => host === "a.test"));
      await stores.now(stores.queue.source.claim([{ lane: empty.id, limit: 9 }]));
      await stores.now(stores.queue.cancellations.request(cancelled.jobId));
      for (const left of [await stores.queue.source.lanes(10), await stores.queue.source.lanesAfter(0, 10)]) {
        expect(left.map(({ job, host }) => [job.jobId, host])).toEqual([[live.jobId, "b.test"]]);
      }
    });

    test("are announced after each commit that changes them", async () => {
      await using stores = await open();
      const lanes = announced(stores);
      await stores.now(stores.queue.acceptor.accept(acceptance(2)));
      const [one, two] = await claimAll(stores);
      await settle(stores, present(one), release);
      await settle(stores, present(two), retryAt(stores.clock.steady() + 1));
      expect(lanes.map(([, waiting]) => waiting)).toEqual([2, 0, 1, 2]);
      const again = firstOf(await claimAll(stores));
      await settle(stores, again, complete);
      expect(lanes.map(([, waiting]) => waiting)).toEqual([2, 0, 1, 2, 1]);
      await stores.now(stores.queue.cancellations.request(again.job.jobId));
      expect(lanes.at(-1)?.[1]).toBe(0);
    });
  });
}

/** All lanes that come page by page, each page after the last lane of the one before. */
async function pagesOf(read: (after?: Lane) => Lane[] | Promise<Lane[]>): Promise<Lane[]> {
  const lanes: Lane[] = [];
  for (let page = await read(); page.length > 0; page = await read(page.at(-1))) lanes.push(...page);
  return lanes;
}
