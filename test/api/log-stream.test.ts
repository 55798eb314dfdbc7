import { expect, test } from "bun:test";
import { LogPages } from "../../src/api/log-pages.ts";
import { EVENT_STREAM, followLog, JSON_LINES } from "../../src/api/log-stream.ts";
import { LOG_LEVELS } from "../../src/sqlite/ledger/log-entries.ts";
import type { JobRecord, Ledger } from "../../src/sqlite/ledger.ts";
import { acceptance, claimAll, complete, newJob } from "../sqlite/sample-jobs.ts";
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
  await stores.now(stores.queue.accept(acceptance(tasks, { job })));
  const record = stores.stores.ledger.findJob(job.jobId);
  if (record === undefined) throw new Error("the job is not there");
  return record;
}

function start(stores: TestStores, job: JobRecord, given?: LogPages, format = EVENT_STREAM): Followed {
  const dropped: string[] = [];
  const { ledger } = stores.stores;
  const { signal } = new AbortController();
  const pages = given ?? new LogPages(ledger, stores.clock);
  const drop = (id: string) => dropped.push(id);
  const deps = { ledger, pages, clock: stores.clock, stopping: signal, drop };
  const request = new Request("http://localhost/", { signal });
  const reader = followLog(job, 0, LOG_LEVELS, format, request, deps).getReader();
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
  if (claimed !== undefined) await stores.now(stores.queue.settle({ claimed, verdict: complete }));
}

test("says every 15 seconds that it is there, where nothing happens", async () => {
  await using stores = openTestStores();
  const followed = start(stores, await jobAtWork(stores, 1));
  await stores.clock.advance(0);
  expect(followed.text()).toStartWith("id: 0\ndata: {");
  await stores.clock.advance(14_999);
  expect(followed.text()).toBe("");
  await stores.clock.advance(1);
  expect(followed.text()).toBe(": still there\n\n");
  await stores.clock.advance(45_000);
  expect(followed.text()).toBe(": still there\n\n".repeat(3));
});

test("reads a busy job a few times a second, however many follow it, and loses nothing by it", async () => {
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
  const followed = start(stores, job, pages);
  const others: Followed[] = [];
  for (let i = 0; i < 100; i++) {
    await finishOne(stores);
    await stores.clock.advance(10);
    // Whoever comes later, and all of them, read what the first one reads.
    if (i % 5 === 2) others.push(start(stores, job, pages));
  }
  await stores.clock.advance(250);
  await followed.done;
  const text = followed.text();
  for (const other of others) {
    await other.done;
    expect(other.text()).toBe(text);
  }
  expect(reads).toBeLessThan(others.length * 4);
  expect(text.match(/^id: /gm)?.length).toBe(ledger.findJob(job.jobId)?.logCount ?? 0);
  expect(text).toEndWith('event: end\ndata: {"status":"completed"}\n\n');
  expect(stores.clock.pending).toBe(0);
});

test("lets a reader go that takes nothing for a minute", async () => {
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

test("of events a reader that is let go is told so, of lines nothing that looks like their end", async () => {
  await using stores = openTestStores();
  const job = await jobAtWork(stores, 2);
  for (const [format, last] of [
    [EVENT_STREAM, ": dropped, because nothing was read for a while\n\n"],
    [JSON_LINES, undefined],
  ] as const) {
    const followed = start(stores, job, undefined, format);
    await stores.clock.advance(0);
    followed.stopReading();
    await finishOne(stores);
    await stores.clock.advance(61_000);
    expect(followed.dropped).toEqual([job.jobId]);
    expect(await Promise.race([followed.next(), stores.clock.advance(1000).then(() => undefined)])).toBe(last);
  }
});
