import { expect, test } from "bun:test";
import { LogPages } from "../../src/api/endpoints/logs/log-pages.ts";
import { EVENT_STREAM, followLog, JSON_LINES, type LogFormat } from "../../src/api/endpoints/logs/log-stream.ts";
import type { JobRecord } from "../../src/jobs/stores/ledger-reads.ts";
import { LOG_LEVELS, type LogLevel } from "../../src/jobs/stores/ledger-reads.ts";
import type { Ledger } from "../../src/sqlite/ledger/ledger.ts";
import { Turns } from "../../src/std/turns.ts";
import { withLateRead } from "../support/late-read.ts";
import { acceptance, claimAll, complete, newJob } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

interface Followed {
  /** What has come since the last call. */
  text(): string;
  /** Reads on, until told to stop. */
  readonly dropped: string[];
  readonly done: Promise<void>;
  stopReading(): void;
  /** The next chunk, for one who has stopped. */
  next(): Promise<string | undefined>;
}

async function jobAtWork(stores: TestStores, tasks: number): Promise<JobRecord> {
  const job = newJob({ createdAt: stores.clock.now() });
  await stores.now(stores.queue.acceptor.accept(acceptance(tasks, { job })));
  const record = await stores.stores.ledger.findJob(job.jobId);
  if (record === undefined) throw new Error("the job is not there");
  return record;
}

interface Start {
  readonly ledger?: Ledger;
  readonly pages?: LogPages;
  readonly turns?: Turns;
  readonly format?: LogFormat;
  readonly levels?: readonly LogLevel[];
  readonly requireRights?: () => void;
}

function start(stores: TestStores, job: JobRecord, given: Start = {}): Followed {
  const { format = EVENT_STREAM, levels = LOG_LEVELS, turns = new Turns(), requireRights = () => {} } = given;
  const dropped: string[] = [];
  const { ledger = stores.stores.ledger } = given;
  const { signal } = new AbortController();
  const pages = given.pages ?? new LogPages(ledger, stores.clock);
  const drop = (id: string) => dropped.push(id);
  const deps = { ledger, pages, turns, clock: stores.clock, stopping: signal, drop };
  const request = new Request("http://localhost/", { signal });
  const reader = followLog({ job, offset: 0, levels, format, request, requireRights }, deps).getReader();
  const decoder = new TextDecoder();
  let text = "";
  let isReading = true;
  const read = async () => {
    while (isReading) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value);
    }
  };
  const done = read();
  return {
    text() {
      const seen = text;
      text = "";
      return seen;
    },
    dropped,
    done,
    stopReading: () => {
      isReading = false;
    },
    next: async () => {
      const { done, value } = await reader.read();
      return done ? "THE END" : decoder.decode(value);
    },
  };
}

async function finishOne(stores: TestStores): Promise<void> {
  const [claimed] = await claimAll(stores, 1);
  if (claimed !== undefined) await stores.now(stores.queue.settlements.settle({ claimed, verdict: complete }));
}

test("a stream without new rows sends a comment every 15 seconds", async () => {
  await using stores = openTestStores();
  const followed = start(stores, await jobAtWork(stores, 1));
  await stores.clock.advance(0);
  expect(followed.text()).toStartWith("id: 0\ndata: {");
  await stores.clock.advance(14_999);
  expect(followed.text()).toBe("");
  await stores.clock.advance(1);
  expect(followed.text()).toBe(": keep-alive\n\n");
  await stores.clock.advance(45_000);
  expect(followed.text()).toBe(": keep-alive\n\n".repeat(3));
});

test("news that come while the job is being read are not lost", async () => {
  await using stores = openTestStores();
  const job = await jobAtWork(stores, 1);
  const read = Promise.withResolvers<void>();
  const followed = start(stores, job, { ledger: withLateRead(stores.stores.ledger, "findJob", () => read.promise) });
  await finishOne(stores);
  read.resolve();
  await stores.clock.advance(0);
  expect(followed.text()).toStartWith("id: 0\n");
  await stores.clock.advance(250);
  expect(followed.text()).toEndWith('event: end\ndata: {"status":"completed"}\n\n');
});

test("a reader that has lost the right gets no row after that", async () => {
  await using stores = openTestStores();
  let isRevoked = false;
  const requireRights = () => {
    if (isRevoked) throw new Error("the right has ended");
  };
  const followed = start(stores, await jobAtWork(stores, 2), { requireRights });
  const end = followed.done.catch(String);
  await stores.clock.advance(0);
  expect(followed.text()).toStartWith("id: 0\n");
  isRevoked = true;
  await finishOne(stores);
  await stores.clock.advance(250);
  expect([await end, followed.text()]).toEqual(["Error: the right has ended", ""]);
});

test("clients that ask for the same page at once share one read", async () => {
  await using stores = openTestStores();
  const job = await jobAtWork(stores, 1);
  let reads = 0;
  const counted = {
    logs: (...args: Parameters<Ledger["logs"]>) => {
      reads++;
      return stores.stores.ledger.logs(...args);
    },
  };
  const pages = new LogPages(counted, stores.clock);
  const [one, other] = await Promise.all([0, 1].map(() => pages.read(job, 0, LOG_LEVELS, JSON_LINES)));
  expect([one?.next, other?.next, reads]).toEqual([1, 1, 1]);
});

test("a busy job is read a few times a second, however many clients follow it, and no row is lost", async () => {
  await using stores = openTestStores();
  const { ledger } = stores.stores;
  let reads = 0;
  const counted = {
    logs: (...args: Parameters<Ledger["logs"]>) => {
      reads++;
      return ledger.logs(...args);
    },
  };
  const pages = new LogPages(counted, stores.clock);
  const job = await jobAtWork(stores, 100);
  const followed = start(stores, job, { pages });
  const others: Followed[] = [];
  for (let i = 0; i < 100; i++) {
    await finishOne(stores);
    await stores.clock.advance(10);
    // Whoever comes later, and all of them, read what the first one reads.
    if (i % 5 === 2) others.push(start(stores, job, { pages }));
  }
  await stores.clock.advance(250);
  await followed.done;
  const text = followed.text();
  for (const other of others) {
    await other.done;
    expect(other.text()).toBe(text);
  }
  expect(reads).toBeLessThan(others.length * 4);
  expect(text.match(/^id: /gm)?.length).toBe((await ledger.findJob(job.jobId))?.logCount ?? 0);
  expect(text).toEndWith('event: end\ndata: {"status":"completed"}\n\n');
  expect(stores.clock.pending).toBe(0);
});

test("a client that reads nothing for a minute is disconnected", async () => {
  await using stores = openTestStores();
  const job = await jobAtWork(stores, 2);
  const followed = start(stores, job);
  await stores.clock.advance(0);
  followed.stopReading();
  await finishOne(stores);
  await stores.clock.advance(300);
  await stores.clock.advance(59_000);
  expect(followed.dropped).toEqual([]);
  await stores.clock.advance(2000);
  expect(followed.dropped).toEqual([job.jobId]);
  expect(followed.text()).toContain("id: 0\n");
});

test("a disconnected client of events gets a comment, one of lines gets a body without an end", async () => {
  await using stores = openTestStores();
  const job = await jobAtWork(stores, 2);
  for (const [format, last] of [
    [EVENT_STREAM, ": disconnected, because the client read nothing for a minute\n\n"],
    [JSON_LINES, undefined],
  ] as const) {
    const followed = start(stores, job, { format });
    await stores.clock.advance(0);
    followed.stopReading();
    await finishOne(stores);
    await stores.clock.advance(61_000);
    expect(followed.dropped).toEqual([job.jobId]);
    expect(await Promise.race([followed.next(), stores.clock.advance(1000).then(() => undefined)])).toBe(last);
  }
});

/** Makes the log of a job as long as that of a huge one: every hundredth row is an error. */
async function lengthen(stores: TestStores, { jobId, seq }: JobRecord, rows: number): Promise<JobRecord> {
  stores.tamper(
    "ledger",
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows - 1})
     INSERT INTO logs SELECT ${seq}, i, 0, iif(i % 100 = 0, 'error', 'info'), 'row', NULL, '{}' FROM n`,
  );
  stores.tamper("ledger", `UPDATE jobs SET log_count = ${rows}, status = 'completed' WHERE seq = ${seq}`);
  const long = await stores.stores.ledger.findJob(jobId);
  if (long === undefined) throw new Error("the job is not there");
  return long;
}

test.each([
  ["all rows", LOG_LEVELS, 20_000],
  ["errors", ["error"], 199],
] as const)(
  "reads %s of a long log a bounded piece in a turn of the event loop, for all followers together",
  async (_, levels, expected) => {
    await using stores = openTestStores();
    const { ledger } = stores.stores;
    const job = await lengthen(stores, await jobAtWork(stores, 1), 20_000);
    let turn = 0;
    let isOver = false;
    const count = () => {
      turn++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const readsByTurn = new Map<number, number>();
    const counted = {
      logs: async (...args: Parameters<Ledger["logs"]>) => {
        readsByTurn.set(turn, (readsByTurn.get(turn) ?? 0) + 1);
        const stretch = await ledger.logs(...args);
        expect(stretch.next - args[1]).toBeLessThanOrEqual(2000);
        return stretch;
      },
    };
    const turns = new Turns();
    const followers = [0, 1, 2].map(() =>
      // Pages of their own, so that no one finds what another one has read.
      start(stores, job, { pages: new LogPages(counted, stores.clock), turns, format: JSON_LINES, levels }),
    );
    for (const follower of followers) {
      await follower.done;
      expect(follower.text().split("\n").length - 1).toBe(expected);
    }
    isOver = true;
    // Each begins with a page at once; after that, all of them together read one in a turn.
    const [first, ...others] = [...readsByTurn.values()];
    expect(first).toBeLessThanOrEqual(followers.length + 1);
    expect(Math.max(...others)).toBeLessThanOrEqual(1);
  },
);
