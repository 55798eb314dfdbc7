import { expect, test } from "bun:test";
import { type HostLoad, isStandstill, limitingReason, type QueueMoment } from "../../src/dispatch/limiting-reason.ts";
import type { Limit } from "../../src/jobs/queue-limit.ts";

/** Eight workers with nothing to do, although tasks are due. */
const IDLE: QueueMoment = {
  phase: "running",
  isPaused: false,
  queueProblem: undefined,
  waiting: 100,
  nextDueMs: 0,
  nextOpenDueMs: undefined,
  running: 0,
  sinceEndedMs: Number.POSITIVE_INFINITY,
  workers: { total: 8, busy: 0, waitingForRate: 0 },
  ratePerWorker: 10,
  begunPerSecond: 0,
  descriptorProblem: undefined,
  isOneAlone: false,
  closedBuckets: [],
  hosts: [host()],
};

function host(more: Partial<HostLoad> = {}): HostLoad {
  return {
    host: "cdn.test",
    waiting: 50,
    running: 0,
    limit: 4,
    maxConcurrency: 4,
    ratePerSecond: 0,
    state: "open",
    code: undefined,
    slowedMsAgo: undefined,
    closedForMs: 0,
    ...more,
  };
}

const closed = { bucket: "b", code: "UPLOAD_ACCESS_DENIED", message: "no right", closedForMs: 12_000 };
const full = { reason: "database or disk is full", isDiskFull: true };
const busy = { total: 8, busy: 8, waitingForRate: 0 };
const resting = { total: 8, busy: 2, waitingForRate: 6 };
const half = { total: 8, busy: 4, waitingForRate: 0 };

test.each<[string, Partial<QueueMoment>, Limit["cause"] | undefined, string]>([
  ["the stop before all else", { phase: "draining", isPaused: true, queueProblem: full }, "draining", "the stop of"],
  ["the start", { phase: "starting" }, "starting", "recovers first"],
  ["a full disk also holds a start up", { phase: "starting", queueProblem: full }, "disk_full", "(database or disk"],
  [
    "a queue.db that fails",
    { queueProblem: { reason: "i/o", isDiskFull: false } },
    "queue",
    "queue.db, which cannot be written (i/o)",
  ],
  ["a pause, whatever waits", { isPaused: true, waiting: 0 }, "paused", "fetchbox resume"],
  ["nothing where nothing waits", { waiting: 0, workers: busy, closedBuckets: [closed] }, undefined, ""],
  ["too few descriptors", { descriptorProblem: "5 files left" }, "descriptors", "5 files left"],
  ["the rate that is reached", { workers: half, begunPerSecond: 79 }, "rate_limit", "8 workers × 10/s = 80/s"],
  ["workers that rest for their rate", { workers: resting, begunPerSecond: 1 }, "rate_limit", "= 80/s"],
  ["no rate where nothing is due", { workers: resting, begunPerSecond: 80, nextDueMs: 5000 }, "not_due", "in 5 s"],
  [
    "no rate where the hosts are closed",
    { workers: resting, begunPerSecond: 80, hosts: [host({ limit: 0, state: "waiting" })] },
    "hosts",
    "asked for a pause",
  ],
  ["no rate where there is none", { ratePerWorker: 0, workers: busy, begunPerSecond: 9e9 }, "workers", "8 of 8 busy"],
  ["workers that all have a task", { workers: busy, begunPerSecond: 3 }, "workers", "queue.workers: 8 of 8 busy"],
  [
    "busy workers, though some rest",
    { workers: { total: 8, busy: 6, waitingForRate: 2 }, begunPerSecond: 3 },
    "workers",
    "6 of 8 busy, the others rest for queue.rate_limit_per_worker (10/s)",
  ],
  ["a rate of the past is none", { begunPerSecond: 80, hosts: [host({ limit: 0, state: "waiting" })] }, "hosts", "cdn"],
  ["a suspect", { isOneAlone: true, closedBuckets: [closed] }, "suspect", "it runs alone"],
  ["a closed bucket", { closedBuckets: [closed] }, "storage", "bucket b is closed (UPLOAD_ACCESS_DENIED no right)"],
  ["when it is tried again", { closedBuckets: [closed] }, "storage", ", tried again in 12 s"],
  [
    "a full disk of the storage, and other buckets",
    {
      closedBuckets: [
        { ...closed, code: "UPLOAD_DISK_FULL", closedForMs: 0 },
        { ...closed, bucket: "c" },
      ],
    },
    "disk_full",
    "being tried now; also closed: c",
  ],
  [
    "a host at its limit",
    { workers: half, hosts: [host({ running: 4 })] },
    "hosts",
    "cdn.test: download.host.max_concurrency: 4 of 4 downloads run",
  ],
  [
    "a host that is slowed down",
    { hosts: [host({ running: 4, maxConcurrency: 16, state: "slowed", code: "DOWNLOAD_HTTP_429" })] },
    "hosts",
    "cdn.test: slowed to 4 of 16 downloads at once (DOWNLOAD_HTTP_429)",
  ],
  [
    "a host that asked for a pause",
    { hosts: [host({ limit: 0, state: "waiting", code: "DOWNLOAD_HTTP_503", closedForMs: 41_000 })] },
    "hosts",
    "it asked for a pause (DOWNLOAD_HTTP_503), over in 41 s",
  ],
  [
    "a host whose breaker is open",
    { hosts: [host({ limit: 0, state: "breaker", code: "DOWNLOAD_TIMEOUT", closedForMs: 2500 })] },
    "hosts",
    "its breaker is open (DOWNLOAD_TIMEOUT), tried again in 2.5 s",
  ],
  ["a host that is probed", { hosts: [host({ limit: 1, running: 1, state: "probing" })] }, "hosts", "tries whether"],
  ["a host with a rate", { hosts: [host({ state: "rate", ratePerSecond: 2 })] }, "hosts", "rate_per_second: 2/s"],
  [
    "several hosts, by what holds them",
    { hosts: [host({ running: 4 }), host({ host: "b", running: 4 }), host({ host: "c", limit: 0, state: "breaker" })] },
    "hosts",
    "3 hosts: 2 at max_concurrency, 1 with an open breaker",
  ],
  ["no host where another is free", { hosts: [host({ running: 4 }), host({ host: "b" })] }, undefined, ""],
  ["what is due later", { nextDueMs: 90_000, hosts: [host()] }, "not_due", "the first task is due in 90 s"],
  [
    "what is due later beside hosts that are closed",
    {
      nextOpenDueMs: 200,
      hosts: [host(), host({ host: "b", limit: 0, state: "breaker", closedForMs: 2500 })],
    },
    "not_due",
    "the first task is due in 200 ms; b: its breaker is open, tried again in 2.5 s",
  ],
  [
    "a host at its rate that has as many downloads as it may",
    { hosts: [host({ state: "rate", ratePerSecond: 2, running: 4 })] },
    "hosts",
    "max_concurrency: 4 of 4",
  ],
  [
    "no rate of workers where the hosts rest for theirs",
    {
      workers: resting,
      begunPerSecond: 80,
      hosts: [host({ state: "rate", ratePerSecond: 2, closedForMs: 300 })],
    },
    "hosts",
    "rate_per_second: 2/s",
  ],
  ["nothing where a worker is about to take what waits", { hosts: [host()] }, undefined, ""],
])("the limit is %s", (_name, more, cause, reason) => {
  const limit = limitingReason({ ...IDLE, ...more });
  expect([limit?.cause]).toEqual([cause]);
  expect(limit?.reason ?? "").toContain(reason);
});

test("between two tasks that begin at a pace nothing stands still", () => {
  const still = (cause: Limit["cause"], more: Partial<QueueMoment> = {}) =>
    isStandstill({ cause, reason: "" }, { ...IDLE, ...more });
  expect(still("rate_limit")).toBe(false);
  expect(still("hosts")).toBe(true);
  expect(still("hosts", { running: 1 })).toBe(false);
  expect(still("hosts", { hosts: [host({ state: "rate", ratePerSecond: 0.01 })] })).toBe(false);
  for (const cause of ["hosts", "not_due"] as const) {
    expect(still(cause, { sinceEndedMs: 4000 })).toBe(false);
    expect(still(cause, { sinceEndedMs: 6000 })).toBe(true);
  }
  expect(still("not_due", { sinceEndedMs: 10, nextOpenDueMs: 9000 })).toBe(true);
  expect(still("hosts", { sinceEndedMs: 10, hosts: [host({ state: "waiting", closedForMs: 9000 })] })).toBe(true);
  expect(still("paused", { sinceEndedMs: 10 })).toBe(true);
});
