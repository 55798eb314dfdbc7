import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { ObjectStore } from "../../src/jobs/object-store.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Verdict } from "../../src/jobs/verdict.ts";
import {
  BLIND_WATCH_MS,
  LOOK_EVERY_MAX_MS,
  OrphanCleaner,
  type OrphanEvent,
  WATCH_MS,
} from "../../src/maintenance/orphan-cleaner.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { turn } from "../support/clock.ts";
import { type FaultyS3, startFaultyS3 } from "../support/faulty-s3.ts";
import { isPut, MIB, never, PART, storeOn, writeAll } from "../support/faulty-store.ts";
import type { S3Call } from "../support/memory-s3.ts";
import { pattern } from "../support/pattern.ts";
import { rejectionOf } from "../support/rejection.ts";
import { claimAll, claimedJob, complete, discard, newTasks } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";

const SECOND = 1000;
const HOUR = 3_600_000;
const cancel: Verdict = { kind: "cancel" };
const isHead = ({ method }: S3Call) => method === "HEAD";
const isAbort = ({ method, query }: S3Call) => method === "DELETE" && query.has("uploadId");
const isList = ({ method, query }: S3Call) => method === "GET" && query.has("uploads");

/** Real stores and a scripted S3, with the cleaner between them. Only `pass` moves the time. */
class Bench implements AsyncDisposable {
  readonly stores: TestStores = openTestStores();
  readonly s3: FaultyS3;
  readonly keys = new KeyGuard();
  readonly events: OrphanEvent[] = [];
  readonly store: ObjectStore;

  constructor(s3: FaultyS3) {
    this.s3 = s3;
    this.store = storeOn(s3.endpoint, { timeoutMs: 200, checksum: "none" });
  }

  static async open(): Promise<Bench> {
    const bench = new Bench(await startFaultyS3());
    await bench.stores.queue.recover(() => Promise.resolve(), true);
    return bench;
  }

  cleaner(more: Partial<Pick<ObjectStore, "abortUpload" | "removeUploaded">> = {}): OrphanCleaner {
    return new OrphanCleaner({
      orphans: this.stores.queue.orphans,
      store: { ...this.store, ...more },
      keys: this.keys,
      clock: this.stores.clock,
      onEvent: (event) => this.events.push(event),
    });
  }

  /** Lets time pass, second by second, with the cleaner at work; the times at which a request came. */
  async pass(ms: number, matches: (call: S3Call) => boolean = () => false, stepMs = SECOND): Promise<number[]> {
    const cleaner = this.cleaner();
    const times: number[] = [];
    let before = this.s3.calls.filter(matches).length;
    for (let at = stepMs; at <= ms; at += stepMs) {
      this.stores.clock.tick(stepMs);
      await cleaner.run(never);
      const now = this.s3.calls.filter(matches).length;
      for (let i = before; i < now; i++) times.push(at);
      before = now;
    }
    return times;
  }

  /** An attempt at a claimed task: stores a body and settles with the given verdict and leftovers. */
  async attempt(claimed: ClaimedTask, verdict: Verdict, bytes = 100): Promise<void> {
    const { queue } = this.stores;
    const running = new Attempt(claimed, 1);
    const letGo = this.keys.hold(claimed.task);
    const { onClosed, ...tracking } = running.track(queue.orphans.tokenOf(claimed));
    const options = { contentType: "x/y", signal: never, ...tracking };
    try {
      if (bytes < MIB) await this.store.put(claimed.task, pattern(bytes), options);
      else {
        const onOpen = (open: { bucket: string; key: string; uploadId: string }) =>
          this.stores.now(queue.settlements.recordUpload({ ...open, task: claimed.id, claimId: claimed.claimId }));
        const upload = await this.store.open(claimed.task, { ...options, onOpen, onClosed });
        await writeAll(upload, pattern(bytes)).then(
          () => upload.commit(),
          () => upload.abort(),
        );
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
    await this.stores.now(queue.settlements.settle({ claimed, verdict, upload: running.upload }));
    letGo();
  }

  async claim(): Promise<ClaimedTask> {
    const [claimed] = await claimedJob(this.stores, 1);
    if (claimed === undefined) throw new Error("no task was claimed");
    return claimed;
  }

  orphans(): string[] {
    return this.stores
      .read<{ kind: string; name: string }>("queue", "SELECT kind, name FROM orphans ORDER BY id")
      .map(({ kind, name }) => (kind === "object" ? kind : `${kind} ${name}`));
  }

  eventsOf(kind: OrphanEvent["kind"]): OrphanEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stores[Symbol.asyncDispose]();
    await this.s3[Symbol.asyncDispose]();
  }
}

/** An S3 that stores the PUTs that come now on request, and never answers them. */
function slow(s3: FaultyS3): { store(): Promise<void> } {
  const late = Promise.withResolvers<void>();
  s3.faultFor = (call) => (isPut(call) ? { kind: "hang", done: late.promise } : undefined);
  return {
    async store() {
      s3.faultFor = () => undefined;
      late.resolve();
      await late.promise;
    },
  };
}

describe("an object that S3 stores after its attempt was abandoned", () => {
  test.each([
    ["its task died", discard],
    ["its job was cancelled", cancel],
  ])("is removed, though %s", async (_, verdict) => {
    await using bench = await Bench.open();
    const s3 = slow(bench.s3);
    await bench.attempt(await bench.claim(), verdict);
    await bench.pass(5 * SECOND);
    await s3.store();
    expect(bench.s3.objects.size).toBe(1);
    await bench.pass(10 * SECOND);
    expect(bench.s3.objects.size).toBe(0);
    expect(bench.eventsOf("removed").length).toBe(1);
  });

  test("is removed after a restart, which a crash or a shutdown was", async () => {
    for (const isCrash of [true, false]) {
      await using bench = await Bench.open();
      const s3 = slow(bench.s3);
      const claimed = await bench.claim();
      const putting = bench.store
        .put(claimed.task, pattern(100), {
          ...new Attempt(claimed, 1).track(bench.stores.queue.orphans.tokenOf(claimed)),
          contentType: "x/y",
          signal: never,
        })
        .catch(() => undefined);
      await putting;
      if (isCrash) bench.stores.crash();
      else {
        const upload = {
          uploadBegan: true,
          probeOpen: false,
          token: bench.stores.queue.orphans.tokenOf(claimed),
          closed: new Set<string>(),
        };
        await bench.stores.now(
          bench.stores.queue.settlements.settle({ claimed, verdict: { kind: "release" }, upload }),
        );
        bench.stores.reopen();
      }
      await bench.cleaner().begin(never);
      await bench.stores.queue.recover(() => Promise.resolve(), true);
      const [again] = await claimAll(bench.stores);
      if (again === undefined) throw new Error("no task was claimed");
      expect(again.mayHaveStored).toBe(true);
      await bench.stores.now(bench.stores.queue.settlements.settle({ claimed: again, verdict: cancel }));
      await s3.store();
      expect(bench.s3.objects.size).toBe(1);
      await bench.pass(10 * SECOND);
      expect(bench.s3.objects.size).toBe(0);
    }
  });

  test("is looked for after 1, 2, 4 … s, then every 15 minutes, for a day", async () => {
    await using bench = await Bench.open();
    slow(bench.s3);
    await bench.attempt(await bench.claim(), discard);
    const times = await bench.pass(HOUR, isHead);
    const gaps = times.map((time, i) => (time - (times[i - 1] ?? 0)) / SECOND);
    expect(gaps).toEqual([1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
    const rest = await bench.pass(WATCH_MS, isHead, LOOK_EVERY_MAX_MS);
    expect(rest.length).toBe(92);
    expect(bench.orphans()).toEqual([]);
    expect(bench.eventsOf("expired")).toEqual([]);
  });

  test("stays where its task was completed by another attempt: it is that task's object", async () => {
    await using bench = await Bench.open();
    const s3 = slow(bench.s3);
    await bench.attempt(await bench.claim(), { kind: "release" });
    expect(bench.orphans()).toEqual(["object"]);
    bench.s3.faultFor = () => undefined;
    const [again] = await claimAll(bench.stores);
    if (again === undefined) throw new Error("no task was claimed");
    await bench.attempt(again, complete, 200);
    expect(bench.orphans()).toEqual([]);
    await s3.store();
    expect(await bench.pass(HOUR, isHead)).toEqual([]);
    expect(bench.s3.objects.size).toBe(1);
  });
});

describe("the object of another attempt under the same key", () => {
  test("is never removed", async () => {
    await using bench = await Bench.open();
    slow(bench.s3);
    await bench.attempt(await bench.claim(), discard);
    bench.s3.faultFor = () => undefined;
    await bench.attempt(await bench.claim(), complete, 200); // of another job, under the same key
    const looks = await bench.pass(WATCH_MS, isHead, 60 * SECOND);
    expect(looks.length).toBeGreaterThan(20);
    expect([...bench.s3.objects.values()].map(({ body }) => body.byteLength)).toEqual([200]);
    expect(bench.eventsOf("removed")).toEqual([]);
  });

  test("is not even looked at while that attempt runs", async () => {
    await using bench = await Bench.open();
    const s3 = slow(bench.s3);
    const claimed = await bench.claim();
    await bench.attempt(claimed, discard);
    await s3.store();
    const letGo = bench.keys.hold(claimed.task);
    expect(await bench.pass(HOUR, isHead, 60 * SECOND)).toEqual([]);
    expect(bench.s3.objects.size).toBe(1);
    letGo();
    await bench.pass(10 * SECOND);
    expect(bench.s3.objects.size).toBe(0);
  });

  test("waits for a look under way", async () => {
    await using bench = await Bench.open();
    slow(bench.s3);
    const claimed = await bench.claim();
    await bench.attempt(claimed, discard);
    const answer = Promise.withResolvers<boolean>();
    const asked = Promise.withResolvers<void>();
    bench.stores.clock.tick(SECOND);
    const removeUploaded = () => {
      asked.resolve();
      return answer.promise;
    };
    const running = bench.cleaner({ removeUploaded }).run(never);
    await asked.promise;
    const letGo = bench.keys.hold(claimed.task);
    let isQuiet = false;
    const quiet = Promise.resolve(bench.keys.quiet(claimed.task, never)).then(() => {
      isQuiet = true;
    });
    await turn();
    expect(isQuiet).toBe(false);
    answer.resolve(false);
    await quiet;
    letGo();
    await running;
  });
});

describe("an upload whose abort failed", () => {
  /** An upload that fails in its second part, at a storage where nothing works from then on. */
  async function leftOpen(bench: Bench, fault: ReturnType<FaultyS3["faultFor"]>, count = 1): Promise<void> {
    const tasks = await claimedJob(bench.stores, count);
    expect(tasks.length).toBe(Math.min(count, newTasks(count).length));
    bench.s3.faultFor = ({ query }) => (query.has("uploads") && !query.has("prefix") ? undefined : fault);
    for (const claimed of tasks) await bench.attempt(claimed, { kind: "release" }, PART + MIB);
    expect(bench.s3.uploads.size).toBe(count);
  }

  test.each([
    ["whose connections are refused", { kind: "reset" }],
    ["that asks to slow down", { kind: "answer", status: 503, body: "<Error><Code>SlowDown</Code></Error>" }],
    ["without the right", { kind: "answer", status: 403, body: "<Error><Code>AccessDenied</Code></Error>" }],
  ] as const)("is aborted once a storage %s works again, and nothing is open an hour later", async (_, fault) => {
    await using bench = await Bench.open();
    await leftOpen(bench, fault, 3);
    await bench.pass(15 * SECOND);
    expect(bench.s3.uploads.size).toBe(3);
    expect(bench.eventsOf("failed").filter((event) => event.kind === "failed" && event.isFirst).length).toBe(3);
    expect(bench.eventsOf("failed").length).toBeGreaterThan(9);
    bench.s3.faultFor = () => undefined;
    await bench.pass(HOUR, () => false, 10 * SECOND);
    expect(bench.s3.uploads.size).toBe(0);
    expect(bench.orphans()).toEqual([]);
    expect([bench.eventsOf("removed").length, bench.eventsOf("recovered").length]).toEqual([3, 3]);
  });

  test("is tried for the first time within 30 seconds, also while another attempt holds its key", async () => {
    await using bench = await Bench.open();
    await leftOpen(bench, { kind: "reset" });
    bench.keys.hold({ bucket: "artifacts", key: "resources/r0" });
    const [first] = await bench.pass(30 * SECOND, isAbort);
    expect(first).toBe(SECOND);
  });

  test("is tried at least every 15 minutes, and its watch never ends", async () => {
    await using bench = await Bench.open();
    await leftOpen(bench, { kind: "answer", status: 403, body: "<Error><Code>AccessDenied</Code></Error>" });
    await bench.pass(2 * BLIND_WATCH_MS, () => false, LOOK_EVERY_MAX_MS);
    expect(bench.orphans()).toEqual(["upload upload-1"]);
    bench.s3.faultFor = () => undefined;
    await bench.pass(LOOK_EVERY_MAX_MS, () => false, LOOK_EVERY_MAX_MS);
    expect([bench.s3.uploads.size, bench.orphans()]).toEqual([0, []]);
  });

  test("is known after a restart, and tried at once", async () => {
    await using bench = await Bench.open();
    await leftOpen(bench, { kind: "reset" });
    await bench.pass(HOUR / 4);
    bench.stores.crash();
    bench.s3.faultFor = () => undefined;
    expect(await bench.cleaner().begin(never)).toBe(1);
    expect([bench.s3.uploads.size, bench.orphans()]).toEqual([0, []]);
  });

  test("is done with where S3 knows of none", async () => {
    await using bench = await Bench.open();
    await leftOpen(bench, { kind: "reset" });
    bench.s3.faultFor = (call) =>
      isAbort(call) ? { kind: "answer", status: 404, body: "<Error><Code>NoSuchUpload</Code></Error>" } : undefined;
    await bench.pass(5 * SECOND);
    expect(bench.orphans()).toEqual([]);
  });
});

describe("an upload whose creation got no answer", () => {
  /** S3 opens it on request. */
  async function lateCreation(bench: Bench): Promise<{ open(): Promise<void> }> {
    const late = Promise.withResolvers<void>();
    bench.s3.faultFor = (call) =>
      call.method === "POST" && call.query.has("uploads") ? { kind: "hang", done: late.promise } : undefined;
    await bench.attempt(await bench.claim(), discard, PART + MIB);
    bench.s3.faultFor = () => undefined;
    return {
      async open() {
        late.resolve();
        await late.promise;
      },
    };
  }

  test("is aborted though it is opened only after nothing was found under its key", async () => {
    await using bench = await Bench.open();
    const s3 = await lateCreation(bench);
    expect((await bench.pass(5 * SECOND, isList)).length).toBeGreaterThan(0);
    await s3.open();
    expect(bench.s3.uploads.size).toBe(1);
    await bench.pass(10 * SECOND);
    expect(bench.s3.uploads.size).toBe(0);
    await bench.pass(WATCH_MS, () => false, LOOK_EVERY_MAX_MS);
    expect(bench.orphans()).toEqual([]);
  });

  test("stays recorded while what is open cannot be listed, and its watch ends after a week of that", async () => {
    await using bench = await Bench.open();
    const s3 = await lateCreation(bench);
    await s3.open();
    bench.s3.faultFor = (call) =>
      isList(call) ? { kind: "answer", status: 403, body: "<Error><Code>AccessDenied</Code></Error>" } : undefined;
    await bench.pass(WATCH_MS + HOUR, () => false, LOOK_EVERY_MAX_MS);
    expect(bench.orphans()).toEqual(["upload "]);
    await bench.pass(BLIND_WATCH_MS, () => false, LOOK_EVERY_MAX_MS);
    expect(bench.orphans()).toEqual([]);
    expect(bench.eventsOf("expired").length).toBe(1);
  });

  test("is left alone while another attempt uploads under its key", async () => {
    await using bench = await Bench.open();
    await lateCreation(bench);
    const other = await bench.claim();
    const letGo = bench.keys.hold(other.task);
    await bench.store.open(other.task, { contentType: "x/y", signal: never, onOpen: () => Promise.resolve() });
    expect(await bench.pass(HOUR, isList, 60 * SECOND)).toEqual([]);
    letGo();
    expect((await bench.pass(30 * SECOND, isList)).length).toBeGreaterThan(0);
  });
});

describe("an upload that probes the server", () => {
  test("is aborted after a crash, once no attempt holds its key, and does not hold up the start", async () => {
    await using bench = await Bench.open();
    const claimed = await bench.claim();
    const { bucket, key } = claimed.task;
    await fetch(`${bench.s3.endpoint}/${bucket}/${key}?uploads=`, { method: "POST" });
    bench.stores.crash();
    await bench.stores.queue.recover(() => Promise.resolve(), true);
    expect(await bench.cleaner().begin(never)).toBe(0);
    expect(bench.s3.calls.filter(isList)).toEqual([]);
    const letGo = bench.keys.hold(claimed.task);
    await bench.pass(60 * SECOND);
    expect(bench.s3.uploads.size).toBe(1);
    letGo();
    await bench.pass(30 * SECOND);
    expect(bench.s3.uploads.size).toBe(0);
    await bench.pass(WATCH_MS, () => false, LOOK_EVERY_MAX_MS);
    expect(bench.orphans()).toEqual([]);
  });
});

test("what there is of orphans is counted by its sort", async () => {
  await using bench = await Bench.open();
  const tasks = await claimedJob(bench.stores, 3);
  const upload = { bucket: "artifacts", key: "k" };
  for (const [i, uploadId] of ["", "u1", "u2"].entries()) {
    const { id: task, claimId } = tasks[i] ?? { id: 0, claimId: 0 };
    await bench.stores.now(bench.stores.queue.settlements.recordUpload({ ...upload, task, claimId, uploadId }));
  }
  bench.stores.crash();
  await bench.stores.queue.orphans.begin();
  await bench.stores.queue.recover(() => Promise.resolve(), true);
  expect(await bench.stores.queue.orphans.counts()).toEqual({ upload: 2, late_upload: 4, late_object: 3 });
});

test("a look that the end of the service interrupts changes no record", async () => {
  await using bench = await Bench.open();
  slow(bench.s3);
  await bench.attempt(await bench.claim(), discard);
  bench.stores.clock.tick(SECOND);
  const stop = new AbortController();
  const cleaner = bench.cleaner({
    removeUploaded: () => {
      stop.abort(new Error("the end"));
      return Promise.reject(stop.signal.reason);
    },
  });
  await cleaner.run(stop.signal);
  expect(bench.events).toEqual([]);
  expect(bench.stores.read("queue", "SELECT looks, failures FROM orphans")).toEqual([{ looks: 0, failures: 0 }]);
});

test("a queue that cannot be written to ends the round, and the next one looks again", async () => {
  await using bench = await Bench.open();
  slow(bench.s3);
  await bench.attempt(await bench.claim(), discard);
  bench.stores.clock.tick(SECOND);
  const cleaner = new OrphanCleaner({
    orphans: {
      begin: () => Promise.resolve(),
      adopt: () => Promise.resolve(),
      dueKeys: (sorts, limit) => bench.stores.queue.orphans.dueKeys(sorts, limit),
      dueUnder: (ref) => bench.stores.queue.orphans.dueUnder(ref),
      note: () => Promise.reject(new Error("full")),
    },
    store: bench.store,
    keys: bench.keys,
    clock: bench.stores.clock,
    onEvent: (event) => bench.events.push(event),
  });
  expect(String(await rejectionOf(cleaner.run(never)))).toBe("Error: full");
  expect(bench.events).toEqual([]);
  expect((await bench.pass(SECOND, isHead)).length).toBe(1);
});
