import { describe, expect, test } from "bun:test";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import type { FakeClock } from "../support/clock.ts";
import { claimedJob, retryAt, settle } from "../support/sample-jobs.ts";
import { BrokerRig, OPEN_BUCKETS } from "./broker-rig.ts";

const ids = (tasks: readonly ClaimedTask[]) => tasks.map(({ id }) => id);
const jobsOf = (tasks: readonly ClaimedTask[]) => tasks.map(({ job }) => job.jobId);
const oneToTen = Array.from({ length: 10 }, (_, i) => i + 1);
const hostNames = (count: number) => Array.from({ length: count }, (_, i) => `h${i}.test`);

describe("the broker", () => {
  test("brings every task to the workers once, what was there at the start and what comes later", async () => {
    await using rig = new BrokerRig();
    await rig.accept(20, ["a.test", "b.test"]);
    rig.broker.start();
    const first = await rig.work();
    await rig.accept(300, ["b.test", "c.test"]);
    const second = await rig.work();
    expect(ids([...first, ...second]).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 320 }, (_, i) => i + 1));
    expect(rig.errors).toEqual([]);
    expect(await rig.stores.queue.control.depth()).toEqual({ pending: 0, running: 320, retrying: 0 });
  });

  test("sends a task of a host with a rate whenever the next start is due, and waits for no other event", async () => {
    await using rig = new BrokerRig({ hostLimit: 64, ratePerSecond: 20, windowSize: 128 });
    await rig.accept(60, ["a.test"]);
    rig.broker.start();
    let done = 0;
    for (let steps = 0; steps < 70; steps++) {
      done += (await rig.work()).length;
      await rig.advance(51);
    }
    expect(done).toBe(60);
  });

  test("claims nothing before it is started", async () => {
    await using rig = new BrokerRig();
    await rig.accept(5);
    await rig.advance(60_000);
    expect(rig.claims).toBe(0);
  });

  test("holds no more than its window and the channel, whatever the backlog", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 100 });
    await rig.accept(1000, hostNames(50));
    rig.broker.start();
    await rig.settleDown();
    let most = 0;
    for (let i = 0; i < 200; i++) {
      await rig.work(1);
      const { running } = await rig.stores.queue.control.depth();
      most = Math.max(most, running - (i + 1));
      expect(rig.broker.buffered).toBeLessThanOrEqual(20);
      expect(rig.broker.channel.length).toBeLessThanOrEqual(4);
    }
    expect(most).toBeLessThanOrEqual(20);
  });

  test("claims as far ahead as goes out in a moment, and so more at a time, and no more than that", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 4 });
    await rig.accept(2000, ["a.test"]);
    rig.broker.start();
    const pass = async (ms: number) => {
      for (let i = 0; i < ms; i++) {
        await rig.work(2);
        expect(rig.broker.buffered).toBeLessThanOrEqual(16 + 160 + 4);
        await rig.advance(1);
      }
    };
    await pass(100);
    const before = rig.claims;
    await pass(400);
    // 160 go out in 80 ms: they are claimed when half of them are gone.
    expect(rig.claims - before).toBeLessThanOrEqual(11);
  });

  test("reads very many lanes a page in a turn of the event loop, and works meanwhile", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 4 });
    await rig.accept(3000, hostNames(3000));
    const pages: number[] = [];
    rig.onLanes = (lanes) => pages.push(lanes.length);
    rig.broker.start();
    for (let microtask = 0; microtask < 20; microtask++) await Promise.resolve();
    expect(pages).toEqual([500]);
    const done = await rig.work();
    expect(ids(done).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
    expect(pages.every((lanes) => lanes <= 500)).toBe(true);
    expect(pages.length).toBeGreaterThan(1);
  });

  test("sends a suspect when nothing else is at work, and nothing beside it", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 100 });
    await rig.accept(20, ["a.test", "b.test"]);
    rig.stores.tamper("queue", "UPDATE tasks SET crashes = 3 WHERE id IN (3, 4)");
    rig.broker.start();
    const groups: number[][] = [];
    for (let group = await rig.take(); group.length > 0; group = await rig.take()) {
      groups.push(ids(group));
      for (const task of group) rig.finish(task);
    }
    expect(groups.filter((group) => group.includes(3) || group.includes(4)).map((group) => group.length)).toEqual([
      1, 1,
    ]);
    expect(groups.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  test("a suspect whose host is left alone holds nobody up, and a pause lets go of it", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 4 });
    await rig.accept(6, ["a.test", "b.test"]);
    rig.stores.tamper("queue", "UPDATE tasks SET crashes = 4 WHERE id = 1");
    rig.governor.throttle("a.test", 10_000);
    rig.broker.start();
    expect(ids(await rig.work())).toEqual([2, 4, 6]);
    await rig.advance(10_000);
    await rig.settleDown();
    expect(rig.broker.channel.length).toBe(1);
    await rig.broker.pause();
    await rig.settleDown();
    expect(rig.broker.channel.length).toBe(0);
    rig.broker.resume();
    expect(ids(await rig.work()).toSorted((a, b) => a - b)).toEqual([1, 3, 5]);
  });

  test("takes back what was claimed for a host that was fast, once it is slow: others, and higher priorities, come first", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 4 });
    await rig.accept(2000, ["a.test"], { priority: "low" });
    rig.broker.start();
    for (let i = 0; i < 100; i++) {
      await rig.work(2);
      await rig.advance(1);
    }
    const held = await rig.take();
    expect(held.length).toBe(4);
    expect(rig.broker.aheadOf("a.test")).toBeGreaterThan(2 * 16);
    await rig.advance(20); // a hitch is no change of pace
    expect(rig.broker.aheadOf("a.test")).toBeGreaterThan(2 * 16);
    await rig.advance(1000);
    await rig.accept(100, ["b.test"]);
    expect((await rig.work(100)).map(({ host }) => host)).toEqual(Array.from({ length: 100 }, () => "b.test"));
    expect(rig.broker.aheadOf("a.test")).toBeLessThanOrEqual(8);
    const urgent = await rig.accept(10, ["a.test"], { priority: "high" });
    for (const task of held) rig.finish(task);
    const done = jobsOf(await rig.work(30));
    expect(done.filter((id) => id === urgent).length).toBe(10);
    await expectTrueCounters(rig.stores);
  });

  test("lets no host have more than its permits, in the channel and at work together", async () => {
    await using rig = new BrokerRig({ hostLimit: 3, channelSize: 10, windowSize: 64 });
    await rig.accept(50, ["a.test"]);
    await rig.accept(50, ["b.test", "a.test"]);
    rig.broker.start();
    const held = await rig.take();
    expect(held.length).toBe(6);
    expect(Object.fromEntries(rig.busiest)).toEqual({ "a.test": 3, "b.test": 3 });
    for (const task of held) rig.finish(task);
    expect((await rig.work()).length).toBe(94);
    expect(Math.max(...rig.busiest.values())).toBe(3);
  });

  test("brings a job of ten tasks through soon, among one of many thousands on the same host", async () => {
    await using rig = new BrokerRig({ hostLimit: 4, windowSize: 64 });
    await rig.accept(20_000, ["a.test"]);
    rig.broker.start();
    await rig.work(100);
    const small = await rig.accept(10, ["a.test"]);
    const done = await rig.work(60);
    expect(jobsOf(done).filter((id) => id === small).length).toBe(10);
  });

  test("serves priorities 16 : 4 : 1 at one busy host", async () => {
    await using rig = new BrokerRig({ hostLimit: 2, windowSize: 64 });
    const [high, normal, low] = [
      await rig.accept(900, ["a.test"], { priority: "high" }),
      await rig.accept(900, ["a.test"], { priority: "normal" }),
      await rig.accept(900, ["a.test"], { priority: "low" }),
    ];
    rig.broker.start();
    const done = jobsOf(await rig.work(420));
    const shares = [high, normal, low].map((job) => done.filter((id) => id === job).length / 20);
    expect(shares.map(Math.round)).toEqual([16, 4, 1]);
  });

  test("lets a new job of another host in at once, however many long tasks of a broad job are claimed", async () => {
    await using rig = new BrokerRig({ channelSize: 1, windowSize: 128 });
    const hosts = (name: string, count: number) => Array.from({ length: count }, (_, at) => `${name}${at}.test`);
    await rig.accept(500, hosts("a", 500));
    rig.broker.start();
    const busy = await rig.take(8);
    await rig.settleDown();
    expect(rig.broker.buffered).toBeGreaterThan(100);
    const jobs = [await rig.accept(2, hosts("b", 2)), await rig.accept(2, hosts("c", 2), { priority: "high" })];
    await rig.advance(250);
    const later: string[] = [];
    for (const task of busy) {
      rig.finish(task);
      for (const { job } of await rig.take(1)) later.push(job.jobId);
    }
    // One task was in the channel already.
    expect(jobs.map((job) => later.slice(0, 7).filter((id) => id === job).length)).toEqual([2, 2]);
  });

  test("sends ahead of the workers one task while tasks are long, as it has no turn there any more", async () => {
    await using rig = new BrokerRig({ channelSize: 16, windowSize: 64 });
    await rig.accept(
      100,
      Array.from({ length: 100 }, (_, at) => `a${at}.test`),
    );
    rig.broker.start();
    const busy = await rig.take(4);
    expect(rig.broker.channel.length).toBe(1);
    for (const task of busy) {
      await rig.advance(3000);
      rig.finish(task);
      await rig.take(1);
      expect(rig.broker.channel.length).toBe(1);
    }
  });

  test("claims beyond its window for new jobs up to a limit, and at an interval", async () => {
    await using rig = new BrokerRig({ channelSize: 1, windowSize: 16 });
    const hosts = Array.from({ length: 100 }, (_, at) => `a${at}.test`);
    await rig.accept(100, hosts);
    rig.broker.start();
    await rig.settleDown();
    const claims = rig.claims;
    for (let at = 0; at < 600; at++) await rig.accept(1, [`b${at}.test`]);
    await rig.advance(1000);
    expect(rig.claims - claims).toBeLessThan(7);
    for (let at = 0; at < 60; at++) {
      rig.broker.wake();
      await rig.advance(250);
    }
    expect(rig.broker.buffered).toBeGreaterThan(450);
    expect(rig.broker.buffered).toBeLessThanOrEqual(16 + 384 + 128 + 64);
  });

  test("does not let slow hosts keep a fast one out while workers are free", async () => {
    const workers = 32;
    await using rig = new BrokerRig({ hostLimit: 2, windowSize: 2 * workers, channelSize: 4 });
    await rig.accept(1000, hostNames(12)); // never finish: 24 of the workers are busy for good
    rig.broker.start();
    expect((await rig.take()).length).toBe(24);
    await rig.accept(100, ["fast.test"]);
    const done = await rig.work(100);
    expect(done.map(({ host }) => host)).toEqual(Array.from({ length: 100 }, () => "fast.test"));
  });

  test("gives tasks of hosts that are to be left alone back to the queue, and goes on with the others", async () => {
    await using rig = new BrokerRig({ hostLimit: 2, windowSize: 16, channelSize: 2 });
    const hosts = hostNames(8);
    await rig.accept(400, hosts);
    rig.broker.start();
    const held = await rig.take();
    for (const host of hosts) rig.governor.throttle(host, 900_000);
    for (const task of held) rig.finish(task);
    await rig.settleDown();
    expect(rig.broker.buffered).toBe(rig.broker.channel.length);
    await rig.accept(20, ["fast.test"]);
    const done = await rig.work();
    expect(done.filter(({ host }) => host === "fast.test").length).toBe(20);
    await expectTrueCounters(rig.stores);

    await rig.advance(900_000);
    expect((await rig.work()).length).toBe(400 - held.length - (done.length - 20));
    expect((await rig.stores.queue.control.depth()).pending).toBe(0);
  });

  test("gives tasks for a closed bucket back, lets one probe it, and goes on when it opens", async () => {
    let room = Number.POSITIVE_INFINITY;
    let opensAt: number | undefined;
    const buckets = { ...OPEN_BUCKETS, room: () => room, nextOpening: () => opensAt };
    await using rig = new BrokerRig({ hostLimit: 1, buckets });
    await rig.accept(10, ["a.test"]);
    rig.broker.start();
    const [first] = await rig.take(1);
    room = 0;
    opensAt = rig.stores.clock.monotonic() + 3000;
    if (first !== undefined) rig.finish(first);
    await rig.settleDown();
    expect(rig.broker.buffered).toBe(0);
    expect(await rig.stores.queue.control.depth()).toEqual({ pending: 9, running: 1, retrying: 0 });
    room = 1;
    await rig.advance(3000);
    const [probe] = await rig.take(1);
    room = 0;
    if (probe !== undefined) rig.finish(probe);
    await rig.settleDown();
    expect(probe).toBeDefined();
    expect(await rig.stores.queue.control.depth()).toEqual({ pending: 8, running: 2, retrying: 0 });
    room = Number.POSITIVE_INFINITY;
    opensAt = undefined;
    rig.broker.wake();
    expect((await rig.work()).length).toBe(8);
  });
});

describe("the broker wakes", () => {
  test("when the first waiting task is due, not before", async () => {
    await using rig = new BrokerRig();
    const [task] = await claimedJob(rig.stores, 1);
    if (task === undefined) throw new Error("nothing was claimed");
    await settle(rig.stores, task, retryAt(rig.stores.clock.now() + 4321));
    rig.broker.start();
    await rig.advance(4320);
    expect(rig.claims).toBe(0);
    await rig.advance(1);
    expect(ids(await rig.take())).toEqual([task.id]);
  });

  test("when a closed host opens", async () => {
    await using rig = new BrokerRig();
    rig.governor.throttle("a.test", 7000);
    await rig.accept(3, ["a.test"]);
    rig.broker.start();
    await rig.advance(6999);
    expect(rig.claims).toBe(0);
    await rig.advance(1);
    expect((await rig.take()).length).toBe(3);
  });

  test.each([-7_200_000, 432_000_000])("when a task is due, though the wall clock was set by %d ms", async (jump) => {
    await using rig = new BrokerRig();
    const [task] = await claimedJob(rig.stores, 1);
    if (task === undefined) throw new Error("nothing was claimed");
    await settle(rig.stores, task, retryAt(rig.stores.clock.steady() + 60_000));
    rig.broker.start();
    rig.stores.clock.jump(jump);
    await rig.advance(59_999);
    expect(ids(await rig.take())).toEqual([]);
    await rig.advance(1);
    expect(ids(await rig.take())).toEqual([task.id]);
  });

  test("seldom while there is nothing that it could do", async () => {
    await using rig = new BrokerRig({ windowSize: 4, channelSize: 1, hostLimit: 100 });
    await rig.accept(40, hostNames(20));
    rig.broker.start();
    await rig.settleDown();
    expect((await rig.take(1)).length).toBe(1); // a long download; all else is full
    await rig.accept(5, ["late.test"]);
    const before = rig.pumps();
    await rig.advance(60_000);
    expect(rig.pumps() - before).toBeLessThan(10);
  });

  test("soon where a bucket opens while a round is under way, too late for it", async () => {
    let opensAt = 0;
    let clock: FakeClock | undefined;
    const buckets = {
      ...OPEN_BUCKETS,
      room: () => {
        if (clock === undefined || clock.monotonic() >= opensAt) return Number.POSITIVE_INFINITY;
        clock.tick(2);
        return 0;
      },
      nextOpening: (since: number) => (opensAt > since ? opensAt : undefined),
    };
    await using rig = new BrokerRig({ buckets });
    clock = rig.stores.clock;
    opensAt = clock.monotonic() + 1;
    await rig.accept(1, ["a.test"]);
    rig.broker.start();
    await rig.advance(10);
    expect((await rig.take()).length).toBe(1);
  });

  test("at once when a bucket opens before its time", async () => {
    let isOpen = false;
    const buckets = {
      ...OPEN_BUCKETS,
      room: () => (isOpen ? Number.POSITIVE_INFINITY : 0),
      nextOpening: () => (isOpen ? undefined : 30_000),
    };
    await using rig = new BrokerRig({ buckets });
    await rig.accept(3, ["a.test"]);
    rig.broker.start();
    await rig.advance(10);
    expect((await rig.take()).length).toBe(0);
    isOpen = true;
    rig.broker.wake();
    await rig.advance(0);
    expect((await rig.take()).length).toBe(3);
  });

  test("seldom while a bucket waits for a probe and there is no task for it", async () => {
    await using rig = new BrokerRig({ buckets: { ...OPEN_BUCKETS, room: () => 1, nextOpening: () => 0 } });
    rig.broker.start();
    const before = rig.pumps();
    await rig.advance(60_000);
    expect(rig.pumps() - before).toBeLessThan(10);
  });

  test("once for a thousand lanes in one commit", async () => {
    await using rig = new BrokerRig({ windowSize: 64 });
    rig.broker.start();
    await rig.settleDown();
    const before = rig.pumps();
    const accepts = Array.from({ length: 50 }, () => rig.accept(20, hostNames(20)));
    await Promise.all(accepts);
    await rig.settleDown();
    expect(rig.pumps() - before).toBeLessThan(20);
    expect(rig.broker.buffered).toBeGreaterThan(0);
  });
});

describe("when the queue cannot be written to", () => {
  test("a claim is tried again after a second, and nothing is lost", async () => {
    await using rig = new BrokerRig();
    await rig.accept(10);
    rig.claimError = new Error("database or disk is full");
    rig.broker.start();
    await rig.advance(0);
    expect([rig.claims, rig.errors.length]).toEqual([1, 1]);
    await rig.advance(999);
    expect(rig.claims).toBe(1);
    await rig.advance(1);
    expect(rig.claims).toBe(2);
    rig.claimError = undefined;
    await rig.advance(1000);
    expect(ids(await rig.work())).toEqual(oneToTen);
  });

  test("a release is tried again after a second, and nothing is lost", async () => {
    await using rig = new BrokerRig({ hostLimit: 1 });
    await rig.accept(10, ["a.test"]);
    rig.broker.start();
    const [task] = await rig.take(1);
    rig.releaseError = new Error("database or disk is full");
    rig.governor.throttle("a.test", 30_000);
    if (task !== undefined) rig.finish(task);
    await rig.settleDown();
    const failed = rig.errors.length;
    expect(failed).toBeGreaterThan(0);
    for (let i = 0; i < 50; i++) {
      rig.broker.wake();
      await rig.settleDown();
    }
    expect(rig.errors.length).toBe(failed);
    rig.releaseError = undefined;
    await rig.advance(10_000);
    expect(rig.broker.buffered).toBe(0);
    await rig.advance(30_000);
    expect((await rig.work()).length).toBe(9);
  });

  test("the broker stops at once, without waiting for the next try", async () => {
    await using rig = new BrokerRig();
    await rig.accept(10);
    rig.claimError = new Error("database or disk is full");
    rig.broker.start();
    await rig.settleDown();
    expect(await rig.broker.stop()).toEqual([]);
    expect(rig.stores.clock.pending).toBe(0);
  });
});

describe("a broker that is stopped", () => {
  test("gives back what no worker has, leaves no timer, and claims nothing more", async () => {
    await using rig = new BrokerRig({ hostLimit: 2, windowSize: 16, channelSize: 4 });
    await rig.accept(100, ["a.test", "b.test"]);
    rig.broker.start();
    const held = await rig.take(1);
    const back = await rig.broker.stop();
    const { running } = await rig.stores.queue.control.depth();
    expect(held.length + back.length).toBe(running);
    expect(rig.stores.clock.pending).toBe(0);
    const { claims } = rig;
    await rig.accept(10, ["c.test"]);
    await rig.advance(60_000);
    expect(rig.claims).toBe(claims);
  });

  test("gives back what a claim under way brings", async () => {
    await using rig = new BrokerRig();
    await rig.accept(5);
    rig.broker.start();
    expect(rig.claims).toBe(1);
    const stopped = rig.broker.stop();
    rig.stores.queue.flush();
    expect(ids(await stopped)).toEqual([1, 2, 3, 4, 5]);
  });

  test("gives back what could not be released", async () => {
    await using rig = new BrokerRig({ hostLimit: 1 });
    await rig.accept(3, ["a.test"]);
    rig.broker.start();
    const held = await rig.take(1);
    rig.releaseError = new Error("database or disk is full");
    rig.governor.throttle("a.test", 30_000);
    rig.broker.wake();
    await Promise.resolve();
    const back = await rig.broker.stop();
    expect(ids([...held, ...back]).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
  });
});

describe("a pause", () => {
  test("gives back what no worker has, and lets nothing through until it is over", async () => {
    await using rig = new BrokerRig();
    await rig.accept(40);
    rig.broker.start();
    const [running] = await rig.take(1);
    const paused = rig.broker.pause();
    await rig.settleDown();
    await paused;
    expect([rig.broker.buffered, await rig.stores.queue.control.depth()]).toEqual([
      0,
      { pending: 39, running: 1, retrying: 0 },
    ]);
    expect(rig.governor.room("origin.test")).toBe(3); // what was in the channel holds no permit
    await rig.accept(5);
    await rig.advance(60_000);
    expect(await rig.take()).toEqual([]);
    if (running !== undefined) rig.finish(running);
    rig.broker.resume();
    expect((await rig.work()).length).toBe(44);
  });

  test("holds for what a claim under way brings, and for a broker that is started in it", async () => {
    await using rig = new BrokerRig();
    await rig.accept(10);
    rig.broker.start();
    const paused = rig.broker.pause();
    await rig.settleDown();
    await paused;
    expect([rig.broker.buffered, (await rig.stores.queue.control.depth()).pending]).toEqual([0, 10]);
    await using other = new BrokerRig();
    await other.broker.pause();
    await other.accept(3);
    other.broker.start();
    expect(await other.take()).toEqual([]);
    other.broker.resume();
    expect((await other.work()).length).toBe(3);
  });
});

describe("among very many jobs for a host that is left alone", () => {
  test("a new job runs at once, and theirs run once the host opens", async () => {
    await using rig = new BrokerRig({ windowSize: 16, channelSize: 4, hostLimit: 4 });
    rig.governor.throttle("dead.test", 60_000);
    for (let job = 0; job < 300; job++) await rig.accept(1, ["dead.test"]);
    rig.broker.start();
    await rig.settleDown();
    expect(rig.broker.lanes.size).toBe(256);
    const small = await rig.accept(10, ["new.test"]);
    expect(jobsOf(await rig.work())).toEqual(Array.from({ length: 10 }, () => small));
    await rig.advance(60_000);
    const done = await rig.work();
    while (done.length < 300) {
      await rig.advance(250);
      const more = await rig.work();
      if (more.length === 0) break;
      done.push(...more);
    }
    expect(done.length).toBe(300);
    expect([rig.broker.lanes.size, rig.broker.lanes.groups]).toEqual([0, { hosts: 0, jobs: 0 }]);
    await expectTrueCounters(rig.stores);
  });
});

describe("the states of the broker", () => {
  test("follow its calls, and a pause before the start ends in the state before it", async () => {
    await using rig = new BrokerRig();
    const { broker } = rig;
    const states = [broker.state];
    for (const call of ["pause", "resume", "pause", "start", "resume", "pause", "stop", "resume", "pause"] as const) {
      await broker[call]();
      states.push(broker.state);
    }
    expect(states).toEqual([
      "starting",
      "paused",
      "starting",
      "paused",
      "paused",
      "running",
      "paused",
      "draining",
      "draining",
      "draining",
    ]);
  });
});
