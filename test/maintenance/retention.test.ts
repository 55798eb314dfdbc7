import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { ClockTrust } from "../../src/maintenance/clock-trust.ts";
import { type Pruned, Retention, type RetentionLimits } from "../../src/maintenance/retention.ts";
import type { SqliteStores } from "../../src/sqlite/stores.ts";
import { expectTrueCounters } from "../sqlite/recount.ts";
import { FakeClock } from "../support/clock.ts";
import { acceptance, claimAll, complete, discard, newJob, newTasks } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

const DAY = 86_400_000;
const LIMITS: RetentionLimits = {
  queueJobsMs: 7 * DAY,
  ledgerJobsMs: 30 * DAY,
  logsMs: 20 * DAY,
  keysMs: 14 * DAY,
  deadLettersMs: 90 * DAY,
  deadLetterBytesMax: 1e10,
};
const never = new AbortController().signal;

/** Retention over real stores, with the rows that it reports as pruned. */
class Rig {
  readonly stores: TestStores;
  readonly pruned = new Map<Pruned, number>();
  overSize = 0;
  /** Pauses of retention, more or less. */
  steps = 0;
  readonly #limits: RetentionLimits;

  constructor(stores: TestStores, limits: Partial<RetentionLimits> = {}) {
    this.stores = stores;
    this.#limits = { ...LIMITS, ...limits };
  }

  async run(trustedAt = 0): Promise<void> {
    const { stores, clock } = this.stores;
    const retention = new Retention({
      ...retained(stores),
      limits: this.#limits,
      trust: new ClockTrust(clock, trustedAt),
      clock,
      onPruned: (what, count) => this.pruned.set(what, (this.pruned.get(what) ?? 0) + count),
      onOverSize: () => this.overSize++,
    });
    let done = false;
    const round = retention.run(never).finally(() => {
      done = true;
    });
    for (; !done; this.steps++) {
      this.stores.queue.flush();
      await this.stores.clock.advance(10);
    }
    await round;
  }

  count(what: Pruned): number {
    return this.pruned.get(what) ?? 0;
  }
}

/** A job whose tasks all end now: the first `failing` of them for good. */
async function endedJob(stores: TestStores, tasks: number, failing = 0, key?: string): Promise<string> {
  const job = newJob({ createdAt: stores.clock.now() });
  const idempotency = key === undefined ? undefined : { key, fingerprint: new Uint8Array(32), answer: "{}" };
  await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(tasks), { job, idempotency })));
  const claimed = await claimAll(stores, 100_000);
  const settled = claimed.map((task, at) =>
    stores.queue.settlements.settle({ claimed: task, verdict: at < failing ? discard : complete }),
  );
  await stores.now(Promise.all(settled));
  return job.jobId;
}

function jobsIn(stores: TestStores, store: "queue" | "ledger"): string[] {
  return stores.read<{ id: string }>(store, "SELECT job_id AS id FROM jobs ORDER BY seq").map(({ id }) => id);
}

describe("a job that ended", () => {
  test("leaves the queue after its days, and the ledger after the ledger's", async () => {
    await using stores = openTestStores();
    const rig = new Rig(stores);
    const job = await endedJob(stores, 3);
    await stores.clock.advance(7 * DAY);
    await rig.run();
    expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[job], [job]]);
    await stores.clock.advance(1);
    await rig.run();
    expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[], [job]]);
    expect(stores.read("queue", "SELECT id FROM tasks")).toEqual([]);
    await stores.clock.advance(14 * DAY);
    await rig.run();
    expect(stores.read("ledger", "SELECT offset FROM logs")).toEqual([]);
    expect(await stores.stores.ledger.findJob(job)).toMatchObject({ logCount: 5, completed: 3 });
    await stores.clock.advance(9 * DAY);
    await rig.run();
    expect(await stores.stores.ledger.findJob(job)).toBeUndefined();
    expect(stores.read("ledger", "SELECT task FROM results")).toEqual([]);
    expect([rig.count("queue_jobs"), rig.count("ledger_jobs"), rig.count("log_rows")]).toEqual([1, 1, 5]);
  });

  test("stays in both while one of its tasks has a dead letter, and goes when that is past its time", async () => {
    await using stores = openTestStores();
    const rig = new Rig(stores);
    const job = await endedJob(stores, 3, 1);
    await stores.clock.advance(90 * DAY);
    await rig.run();
    expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[job], [job]]);
    expect(await stores.stores.deadLetters.size()).toBe(1);
    await stores.clock.advance(1);
    await rig.run();
    expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[], []]);
    expect(await stores.stores.deadLetters.size()).toBe(0);
    expect(rig.count("dead_letters")).toBe(1);
  });

  test("leaves the queue no later than the ledger, whatever is configured", async () => {
    await using stores = openTestStores();
    const rig = new Rig(stores, { ledgerJobsMs: 2 * DAY });
    await endedJob(stores, 1);
    await stores.clock.advance(2 * DAY + 1);
    await rig.run();
    expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[], []]);
  });

  test("takes none of the tasks that lie between its own", async () => {
    await using stores = openTestStores();
    const rig = new Rig(stores);
    const [early, late] = [newJob(), newJob()];
    const staged = await stores.now(stores.queue.acceptor.stage(early, newTasks(2)));
    await stores.now(stores.queue.acceptor.accept(acceptance(3, { job: late })));
    await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(2), { job: early, staged })));
    for (const claimed of await claimAll(stores)) {
      if (claimed.job.jobId !== early.jobId) continue;
      await stores.now(stores.queue.settlements.settle({ claimed, verdict: complete }));
    }
    await stores.clock.advance(8 * DAY);
    await rig.run();
    expect(jobsIn(stores, "queue")).toEqual([late.jobId]);
    expect(stores.read("queue", "SELECT id FROM tasks")).toEqual([{ id: 3 }, { id: 4 }, { id: 5 }]);
    expect(await stores.queue.control.depth()).toEqual({ pending: 0, running: 3, retrying: 0 });
  });
});

test("a job at work is never pruned, nor the key that it was submitted under", async () => {
  await using stores = openTestStores();
  const rig = new Rig(stores);
  const idempotency = { key: "k", fingerprint: new Uint8Array(32), answer: "{}" };
  await stores.now(stores.queue.acceptor.accept(acceptance(2, { idempotency })));
  const [one] = await claimAll(stores, 1);
  if (one === undefined) throw new Error("no task was claimed");
  await stores.now(stores.queue.settlements.settle({ claimed: one, verdict: complete }));
  await stores.clock.advance(1000 * DAY);
  await rig.run();
  expect(jobsIn(stores, "queue").length).toBe(1);
  expect(await stores.queue.acceptor.findIdempotent("default", "k")).toBeDefined();
  await expectTrueCounters(stores);
  for (const claimed of await claimAll(stores)) {
    await stores.now(stores.queue.settlements.settle({ claimed, verdict: complete }));
  }
  await rig.run();
  expect(await stores.queue.acceptor.findIdempotent("default", "k")).toBeUndefined();
});

test("an idempotency key is forgotten after its days, in the queue and in the ledger", async () => {
  await using stores = openTestStores();
  const rig = new Rig(stores);
  await endedJob(stores, 1, 0, "k");
  await stores.clock.advance(14 * DAY);
  await rig.run();
  expect(await stores.queue.acceptor.findIdempotent("default", "k")).toBeDefined();
  await stores.clock.advance(1);
  await rig.run();
  expect(await stores.queue.acceptor.findIdempotent("default", "k")).toBeUndefined();
  expect(stores.read("ledger", "SELECT * FROM idempotency")).toEqual([]);
  expect(rig.count("idempotency_keys")).toBe(1);
});

test("beyond the size of dlq.db the oldest dead letters go, and as many as it takes", async () => {
  await using stores = openTestStores();
  await endedJob(stores, 2000, 2000);
  const half = (await stores.stores.deadLetters.bytes()) / 2;
  const rig = new Rig(stores, { deadLetterBytesMax: half });
  await rig.run();
  expect(rig.overSize).toBe(1);
  expect(await stores.stores.deadLetters.bytes()).toBeLessThanOrEqual(half);
  const left = stores.read<{ task: number }>("dlq", "SELECT task FROM dead_letters ORDER BY task");
  expect(left.length).toBeGreaterThan(500);
  expect(left.at(-1)?.task).toBe(2000);
  expect(left[0]?.task).toBe(2001 - left.length);
  await expectTrueCounters(stores);
});

test("a job larger than one step goes in several, and a crash between two of them does no harm", async () => {
  await using stores = openTestStores();
  await endedJob(stores, 2500);
  await stores.clock.advance(31 * DAY);
  const before = stores.clock.now() - 7 * DAY;
  stores.stores.outbox.trim();
  const { retention } = stores.queue;
  const jobs = await retention.prunableJobs(before, 10);
  expect(await stores.now(retention.pruneJobs(jobs, 1000))).toBe(0);
  stores.crash();
  await stores.queue.recover(() => Promise.resolve());
  expect(stores.read("queue", "SELECT count(*) AS n FROM tasks")).toEqual([{ n: 1500 }]);
  const rig = new Rig(stores);
  await rig.run();
  expect(stores.read("queue", "SELECT count(*) AS n FROM tasks")).toEqual([{ n: 0 }]);
  expect(stores.read("ledger", "SELECT count(*) AS n FROM results")).toEqual([{ n: 0 }]);
  expect([rig.count("queue_jobs"), rig.count("ledger_jobs")]).toEqual([1, 1]);
});

test("a job stays until its projections have it durably", async () => {
  await using stores = openTestStores();
  await endedJob(stores, 1);
  const reader = stores.pin("ledger");
  const job = await endedJob(stores, 3);
  await stores.clock.advance(8 * DAY);
  const rig = new Rig(stores);
  await rig.run();
  expect(jobsIn(stores, "queue")).toContain(job);
  reader[Symbol.dispose]();
  await rig.run();
  expect(jobsIn(stores, "queue")).toEqual([]);
});

test("what was freed is given back: the files become smaller", async () => {
  await using stores = openTestStores();
  for (let i = 0; i < 5; i++) await endedJob(stores, 8000, 4000);
  const size = (store: "queue" | "ledger" | "dlq") => statSync(stores.path(store)).size;
  stores.reopen();
  const before = { queue: size("queue"), ledger: size("ledger"), dlq: size("dlq") };
  await stores.clock.advance(91 * DAY);
  const rig = new Rig(stores);
  await rig.run();
  stores.reopen();
  expect(size("queue")).toBeLessThan(5_000_000);
  // Some free pages are kept: they will be needed again.
  expect(size("ledger")).toBeLessThan(before.ledger / 2);
  expect(size("dlq")).toBeLessThan(before.dlq / 2);
}, 60_000);

describe("the clock is trusted", () => {
  const MINUTE = 60_000;

  test("at once where it agrees with what was seen last, or there is nothing to compare with", () => {
    const clock = new FakeClock();
    expect(new ClockTrust(clock, 0).isTrusted).toBe(true);
    expect(new ClockTrust(clock, clock.now() - 59 * MINUTE).isTrusted).toBe(true);
    expect(new ClockTrust(clock, clock.now() + 59 * MINUTE).isTrusted).toBe(true);
  });

  test.each([-2 * 60, 60, 5 * 24 * 60, 6_000_000])(
    "ten minutes after a start with a leap of %d minutes",
    async (minutes) => {
      const clock = new FakeClock();
      const trust = new ClockTrust(clock, clock.now() - minutes * MINUTE);
      expect(trust.isTrusted).toBe(false);
      await clock.advance(10 * MINUTE - 1);
      expect(trust.isTrusted).toBe(false);
      await clock.advance(1);
      expect([trust.isTrusted, trust.leapMs]).toEqual([true, minutes * MINUTE]);
    },
  );

  test.each([-2 * 60, 5 * 24 * 60, 6_000_000])("ten minutes after it leapt by %d minutes", async (minutes) => {
    const clock = new FakeClock();
    const trust = new ClockTrust(clock, clock.now());
    clock.jump(minutes * MINUTE);
    expect(trust.isTrusted).toBe(false);
    await clock.advance(9 * MINUTE);
    clock.jump(-minutes * MINUTE); // mended
    expect(trust.isTrusted).toBe(false);
    await clock.advance(10 * MINUTE);
    expect(trust.isTrusted).toBe(true);
  });
});

test("no row is pruned while the clock is not trusted", async () => {
  await using stores = openTestStores();
  const job = await endedJob(stores, 1);
  const { clock } = stores;
  const trust = new ClockTrust(clock, clock.now());
  const retention = new Retention({
    ...retained(stores.stores),
    limits: LIMITS,
    trust,
    clock,
    onPruned: () => {},
    onOverSize: () => {},
  });
  clock.jump(365 * DAY);
  await retention.run(never);
  expect([jobsIn(stores, "queue"), jobsIn(stores, "ledger")]).toEqual([[job], [job]]);
});

test("a process that begins under a wrong clock does not believe in it because an earlier one lived under it", async () => {
  await using stores = openTestStores();
  const job = await endedJob(stores, 1);
  await new Rig(stores).run();
  const right = stores.clock.now();
  stores.clock.jump(365 * DAY);
  for (let start = 0; start < 3; start++) {
    stores.reopen();
    await endedJob(stores, 1); // commits, and so notes the time
    await new Rig(stores).run(await stores.queue.retention.clockTrustedAt());
    expect(await stores.queue.retention.clockTrustedAt()).toBeWithin(right - 1000, right + 1000);
    expect(jobsIn(stores, "queue")).toContain(job);
  }
});

test("many small jobs go together: a step is so many rows, whosever they are", async () => {
  await using stores = openTestStores();
  const jobs = Array.from({ length: 4000 }, () => newJob({ createdAt: stores.clock.now() }));
  await stores.now(Promise.all(jobs.map((job) => stores.queue.acceptor.accept(acceptance(1, { job })))));
  const claimed = await claimAll(stores);
  await stores.now(
    Promise.all(claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict: complete }))),
  );
  await stores.clock.advance(31 * DAY);
  const rig = new Rig(stores);
  await rig.run();
  expect([rig.count("queue_jobs"), rig.count("ledger_jobs"), rig.count("log_rows")]).toEqual([4000, 4000, 12_000]);
  expect(rig.steps).toBeLessThan(300);
});

test("deleting a job reads no other job's rows: no table refers to it", async () => {
  await using stores = openTestStores();
  for (const store of ["queue", "ledger", "dlq"] as const) {
    for (const { name } of stores.read<{ name: string }>(
      store,
      "SELECT name FROM sqlite_schema WHERE type = 'table'",
    )) {
      expect(stores.read(store, `SELECT * FROM pragma_foreign_key_list('${name}')`)).toEqual([]);
    }
  }
});

function retained({ queue, ledger, deadLetters, outbox }: SqliteStores) {
  return { queue, ledger, deadLetters, makeDurable: async () => outbox.makeDurable() };
}
