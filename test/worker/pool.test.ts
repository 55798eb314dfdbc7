import { describe, expect, test } from "bun:test";
import { Channel } from "../../src/dispatch/channel.ts";
import { Failure, httpFailure } from "../../src/jobs/failure.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Outcome, Settlement } from "../../src/jobs/verdict.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { rateLimit } from "../../src/worker/hosts/rate-limit.ts";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { type PoolDeps, WorkerPool } from "../../src/worker/pool.ts";
import { type Service, serviceOf } from "../../src/worker/service.ts";
import { createSettle } from "../../src/worker/settle.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { failedWith, STORED, untilAborted } from "../support/outcomes.ts";

const POLICY = {
  maxRetries: 3,
  backoffMs: 1000,
  backoffMaxMs: 60_000,
  maxThrottleMs: 3_600_000,
  maxUnavailableMs: 86_400_000,
};
const task = (id: number) => claimedTask({ key: `r/${id}` }, { id });

interface Options extends Partial<PoolDeps> {
  readonly call?: Service["call"];
  readonly capacity?: number;
}

/** A pool over a channel, with the verdict of each task. */
function setup({ call = () => Promise.resolve(STORED), capacity = 1000, ...more }: Options = {}) {
  const clock = new FakeClock();
  const settled: Settlement[] = [];
  const errors: unknown[] = [];
  const throttles: [string, number][] = [];
  const channel = new Channel<ClaimedTask>(capacity);
  const pool = new WorkerPool({
    workers: 2,
    createService: () => serviceOf(call),
    channel,
    onStart: () => Promise.resolve(true),
    onEnd: () => {},
    isCancelled: () => false,
    settle: (settlement) => {
      settled.push(settlement);
      return Promise.resolve();
    },
    governor: { throttle: (host, ms) => throttles.push([host, ms]) },
    keys: new KeyGuard(),
    policy: POLICY,
    clock,
    random: () => 0.5,
    onError: (error) => errors.push(error),
    ...more,
  });
  /** Each settled task with its verdict, in order. */
  const verdicts = () => settled.map(({ claimed, verdict }) => `${claimed.id} ${verdict.kind}`);
  return { pool, channel, clock, settled, errors, throttles, verdicts };
}

/** A service whose calls the test ends by hand, and which obeys an abort. */
function byHand() {
  const running = new Map<number, (outcome: Outcome) => void>();
  const order: number[] = [];
  const call: Service["call"] = async ({ claimed, signal }) => {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    running.set(claimed.id, resolve);
    order.push(claimed.id);
    try {
      return await Promise.race([promise, untilAborted(signal)]);
    } catch (reason) {
      if (reason instanceof InterruptedError) return { kind: "interrupted", by: reason.by };
      throw reason;
    } finally {
      running.delete(claimed.id);
    }
  };
  return { call, order, running, finish: (id: number) => running.get(id)?.(STORED) };
}

test("no more tasks run at a time than there are workers, and all are settled once", async () => {
  let running = 0;
  let most = 0;
  const { pool, channel, verdicts } = setup({
    workers: 5,
    async call() {
      most = Math.max(most, ++running);
      for (let i = 0; i < 3; i++) await turn();
      running--;
      return STORED;
    },
  });
  for (let id = 1; id <= 200; id++) channel.send(task(id));
  pool.start();
  while (verdicts().length < 200) await turn();
  await pool.stop(Promise.resolve());
  expect(most).toBe(5);
  expect(new Set(verdicts()).size).toBe(200);
  expect(verdicts().length).toBe(200);
  expect(pool.busy).toBe(0);
});

test("tasks start in the order they were sent, and go to the worker that was free first", async () => {
  const hand = byHand();
  const { pool, channel } = setup({ workers: 3, call: hand.call });
  pool.start();
  await turn();
  for (let id = 1; id <= 6; id++) channel.send(task(id));
  await turn();
  expect(hand.order).toEqual([1, 2, 3]);
  expect([pool.busy, pool.total]).toEqual([3, 3]);
  for (const id of [2, 3, 1, 6, 4, 5]) {
    hand.finish(id);
    await turn();
  }
  expect(hand.order).toEqual([1, 2, 3, 4, 5, 6]);
  await pool.stop(Promise.resolve());
});

test("each worker has a service of its own", async () => {
  let services = 0;
  const createService = () => {
    services++;
    return serviceOf(() => Promise.resolve(STORED));
  };
  const { pool } = setup({ workers: 7, createService });
  pool.start();
  await pool.stop(Promise.resolve());
  expect(services).toBe(7);
});

test("a worker takes no task before its rate lets it run one", async () => {
  const clock = new FakeClock();
  const createService = () => rateLimit(1, clock)(serviceOf(() => Promise.resolve(STORED)));
  const { pool, channel, verdicts } = setup({ workers: 1, clock, createService });
  pool.start();
  for (let id = 1; id <= 3; id++) channel.send(task(id));
  await turn();
  expect([verdicts().length, channel.length]).toEqual([1, 2]);
  await clock.advance(1000);
  expect([verdicts().length, channel.length]).toEqual([2, 1]);
  await pool.stop(Promise.resolve());
  expect(channel.length).toBe(1);
  expect(clock.pending).toBe(0);
});

describe("a stop", () => {
  const noEnd = new Promise<void>(() => {});

  test("ends idle workers at once", async () => {
    const { pool } = setup({ workers: 50 });
    pool.start();
    await turn();
    await pool.stop(noEnd);
  });

  test("ends a pool that was never started", async () => {
    await setup().pool.stop(noEnd);
  });

  test("takes no more tasks", async () => {
    const { pool, channel, verdicts } = setup();
    pool.start();
    await turn();
    await pool.stop(noEnd);
    channel.send(task(1));
    await turn();
    expect(verdicts()).toEqual([]);
    expect(channel.length).toBe(1);
  });

  test("lets running tasks finish within the grace, and starts no task", async () => {
    const hand = byHand();
    const { pool, channel, verdicts } = setup({ call: hand.call });
    for (let id = 1; id <= 3; id++) channel.send(task(id));
    pool.start();
    await turn();
    const stopped = pool.stop(noEnd);
    hand.finish(1);
    hand.finish(2);
    await stopped;
    expect(verdicts()).toEqual(["1 complete", "2 complete"]);
    expect(hand.order).toEqual([1, 2]);
    expect(channel.length).toBe(1);
  });

  test("releases tasks that still run after the grace, without an attempt", async () => {
    const hand = byHand();
    const { pool, channel, verdicts, settled } = setup({ workers: 3, call: hand.call });
    for (let id = 1; id <= 3; id++) channel.send(task(id));
    pool.start();
    await turn();
    const grace = Promise.withResolvers<void>();
    const stopped = pool.stop(grace.promise);
    hand.finish(2);
    await turn();
    expect(verdicts()).toEqual(["2 complete"]);
    grace.resolve();
    await stopped;
    expect(verdicts().toSorted()).toEqual(["1 release", "2 complete", "3 release"]);
    expect(settled.find(({ claimed }) => claimed.id === 1)?.verdict).toEqual({ kind: "release" });
    expect(pool.busy).toBe(0);
  });

  test("interrupts a task that was taken in the very moment", async () => {
    const hand = byHand();
    const { pool, channel, verdicts } = setup({ workers: 1, call: hand.call });
    pool.start();
    await turn();
    channel.send(task(1));
    await pool.stop(Promise.resolve());
    expect(verdicts()).toEqual(["1 release"]);
  });

  test("settles every claim once, wherever it was", async () => {
    for (let turns = 0; turns < 20; turns++) {
      let ended = 0;
      const { pool, channel, verdicts } = setup({
        workers: 4,
        async call({ claimed, signal }) {
          for (let i = 0; i < claimed.id % 5; i++) {
            if (signal.aborted) return { kind: "interrupted", by: "shutdown" };
            await turn();
          }
          ended++;
          return STORED;
        },
      });
      for (let id = 1; id <= 40; id++) channel.send(task(id));
      pool.start();
      for (let i = 0; i < turns; i++) await turn();
      await pool.stop(Promise.resolve());
      const left = channel.close();
      expect(verdicts().length + left.length).toBe(40);
      expect(new Set(verdicts().map((line) => line.split(" ")[0])).size).toBe(verdicts().length);
      expect(verdicts().filter((line) => line.endsWith("complete")).length).toBe(ended);
    }
  });

  test("waits for the settlements", async () => {
    const settlement = Promise.withResolvers<void>();
    const { pool, channel } = setup({ settle: () => settlement.promise });
    channel.send(task(1));
    pool.start();
    await turn();
    let isStopped = false;
    const stopped = pool.stop(Promise.resolve()).then(() => (isStopped = true));
    await turn();
    expect(isStopped).toBe(false);
    settlement.resolve();
    await stopped;
  });
});

describe("a service that throws", () => {
  test("costs the task an attempt and the pool no worker", async () => {
    let calls = 0;
    const { pool, channel, settled } = setup({
      workers: 1,
      call: () => (calls++ < 3 ? Promise.reject(new Error("boom")) : Promise.resolve(STORED)),
    });
    for (let id = 1; id <= 4; id++) channel.send(task(id));
    pool.start();
    while (settled.length < 4) await turn();
    await pool.stop(Promise.resolve());
    expect(settled.map(({ verdict }) => verdict.kind)).toEqual(["retry", "retry", "retry", "complete"]);
    const [first] = settled;
    expect(first?.verdict).toMatchObject({ attempt: { code: "DOWNLOAD_PROTOCOL_ERROR", message: "unexpected: boom" } });
  });

  test("throws any value", async () => {
    const { pool, channel, verdicts } = setup({
      // oxlint-disable-next-line prefer-promise-reject-errors
      call: ({ claimed: { id } }) => Promise.reject([undefined, null, "text", { code: 7 }][id]),
    });
    for (let id = 0; id < 4; id++) channel.send(task(id));
    pool.start();
    while (verdicts().length < 4) await turn();
    await pool.stop(Promise.resolve());
    expect(verdicts().every((line) => line.endsWith("retry"))).toBe(true);
  });

  test("throws before it returns a promise", async () => {
    const { pool, channel, verdicts } = setup({
      call: () => {
        throw new Error("boom");
      },
    });
    channel.send(task(1));
    pool.start();
    await turn();
    await pool.stop(Promise.resolve());
    expect(verdicts()).toEqual(["1 retry"]);
  });
});

describe("a settlement", () => {
  test.each([1, 16, 100])("may be under way while %i workers go on: 128 of all, and one of each", async (workers) => {
    const settlements: PromiseWithResolvers<void>[] = [];
    const { pool, channel } = setup({
      workers,
      settle: () => {
        const settlement = Promise.withResolvers<void>();
        settlements.push(settlement);
        return settlement.promise;
      },
    });
    const most = 128 + workers;
    for (let id = 1; id <= most + 300; id++) channel.send(task(id));
    pool.start();
    for (let i = 0; i < 100; i++) await turn();
    // With the last of these under way no worker starts another task.
    expect(settlements.length).toBe(most);
    for (let settled = 1; settled <= 300; settled++) {
      settlements[settled - 1]?.resolve();
      await turn();
      await turn();
      expect(settlements.length - settled).toBeLessThanOrEqual(most);
      expect(settlements.length - settled).toBeGreaterThanOrEqual(128);
    }
    for (const { resolve } of settlements) resolve();
    await turn();
    for (const { resolve } of settlements) resolve();
    await pool.stop(Promise.resolve());
  });

  test("that fails in the end is reported, and its worker continues", async () => {
    let settlements = 0;
    const { pool, channel, errors } = setup({
      workers: 1,
      settle: () => (settlements++ === 0 ? Promise.reject(new Error("disk")) : Promise.resolve()),
    });
    channel.send(task(1));
    channel.send(task(2));
    pool.start();
    while (settlements < 2) await turn();
    await pool.stop(Promise.resolve());
    expect(errors.map(String)).toEqual(["Error: disk"]);
  });

  test("is tried again until the queue takes it, and is reported once", async () => {
    const clock = new FakeClock();
    const troubles: unknown[] = [];
    const taken: Settlement[] = [];
    const reported: Settlement[] = [];
    let failures = 3;
    const settle = createSettle({
      settleInQueue: (settlement) => {
        if (failures-- > 0) return Promise.reject(new Error("database or disk is full"));
        taken.push(settlement);
        return Promise.resolve(true);
      },
      store: { head: () => Promise.resolve(undefined), remove: () => Promise.resolve() },
      keys: new KeyGuard(),
      report: (settlement) => reported.push(settlement),
      onLeftOver: (_, error) => troubles.push(error),
      onTrouble: (error) => troubles.push(error),
      clock,
      signal: new AbortController().signal,
    });
    const { pool, channel } = setup({ clock, settle });
    channel.send(task(1));
    pool.start();
    await clock.advance(10_000);
    await pool.stop(Promise.resolve());
    expect(taken.map(({ claimed, verdict }) => `${claimed.id} ${verdict.kind}`)).toEqual(["1 complete"]);
    expect(reported).toEqual(taken);
    expect(troubles.length).toBe(3);
    expect(clock.pending).toBe(0);
  });
});

describe("a throttling host", () => {
  test("waits for every job, as long as the task does", async () => {
    const outcomes: Record<number, Outcome> = {
      1: failedWith(httpFailure(429, 60_000)),
      2: failedWith(httpFailure(429)),
      3: failedWith(httpFailure(503)),
      4: failedWith(new Failure("UPLOAD_UNAVAILABLE", "")),
    };
    const { pool, channel, throttles, verdicts } = setup({
      call: ({ claimed: { id } }) => Promise.resolve(outcomes[id] ?? STORED),
    });
    for (let id = 1; id <= 5; id++) channel.send(task(id));
    pool.start();
    while (verdicts().length < 5) await turn();
    await pool.stop(Promise.resolve());
    expect(throttles).toEqual([
      ["origin.test", 60_000],
      ["origin.test", 750],
    ]);
    expect(verdicts().toSorted()).toEqual(["1 snooze", "2 snooze", "3 retry", "4 snooze", "5 complete"]);
  });
});
