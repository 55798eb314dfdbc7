import { expect, test } from "bun:test";
import { EVENT_STREAM, followLog, type LogStreamDeps } from "../../src/api/log-stream.ts";
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
}

async function jobAtWork(stores: TestStores, tasks: number): Promise<JobRecord> {
  const job = newJob({ createdAt: stores.clock.now() });
  await stores.now(stores.queue.accept(acceptance(tasks, { job })));
  const record = stores.stores.ledger.findJob(job.jobId);
  if (record === undefined) throw new Error("the job is not there");
  return record;
}

function start(stores: TestStores, job: JobRecord, ledger: LogStreamDeps["ledger"] = stores.stores.ledger): Followed {
  const dropped: string[] = [];
  const { signal } = new AbortController();
  const deps = { ledger, clock: stores.clock, stopping: signal, onDropped: (id: string) => dropped.push(id) };
  const reader = followLog(job, 0, LOG_LEVELS, EVENT_STREAM, signal, deps).getReader();
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

test("reads a busy job four times a second at most, and loses nothing by it", async () => {
  await using stores = openTestStores();
  const { ledger } = stores.stores;
  let reads = 0;
  const counted: LogStreamDeps["ledger"] = {
    findJob: (id) => ledger.findJob(id),
    watch: (seq, onNews) => ledger.watch(seq, onNews),
    logs: (...args: Parameters<Ledger["logs"]>) => {
      reads++;
      return ledger.logs(...args);
    },
  };
  const job = await jobAtWork(stores, 100);
  const followed = start(stores, job, counted);
  for (let i = 0; i < 100; i++) {
    await finishOne(stores);
    await stores.clock.advance(10);
  }
  await stores.clock.advance(250);
  await followed.done;
  expect(reads).toBeLessThan(8);
  const text = followed.text();
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
});
