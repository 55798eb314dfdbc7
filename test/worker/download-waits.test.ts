import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { ObjectStore, Upload } from "../../src/jobs/object-store.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { turn } from "../support/clock.ts";
import { type DownloadRig, startRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";

const MIB = 2 ** 20;

/** A storage whose steps wait until the test releases them. */
function slowStore(step: "open" | "write" | "commit" | "put") {
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const wait = () => {
    reached.resolve();
    return gate.promise;
  };
  const slowUpload = (upload: Upload): Upload => ({
    async write(chunk) {
      if (step === "write") await wait();
      return upload.write(chunk);
    },
    async commit() {
      if (step === "commit") await wait();
      return upload.commit();
    },
    abort: () => upload.abort(),
  });
  const wrap = (store: ObjectStore): ObjectStore => ({
    ...store,
    async open(ref, options) {
      if (step === "open") await wait();
      return slowUpload(await store.open(ref, options));
    },
    async put(ref, body, options) {
      if (step === "put") await wait();
      return store.put(ref, body, options);
    },
  });
  return { wrap, reached: reached.promise, go: () => gate.resolve() };
}

/** Advances until the download has ended: the last bytes may still be on their way to the storage. */
async function passing<T>(rig: DownloadRig, ms: number, run: Promise<T>): Promise<T> {
  let isOver = false;
  const ended = run.finally(() => (isOver = true));
  await eventually("the download has ended", async () => {
    await rig.clock.advance(ms);
    return isOver || undefined;
  });
  return ended;
}

describe("a silent host", () => {
  test.each(["/silent", "/stalled-headers"])("%s is left when the time for the head is over", async (path) => {
    await using rig = await startRig();
    const run = rig.failed(path);
    await rig.origin.requested(1);
    await rig.clock.advance(29_999);
    expect(rig.origin.connections.open).toBe(1);
    await rig.clock.advance(1);
    const { failure, attempt } = await run;
    expect(failure).toMatchObject({ code: "DOWNLOAD_TIMEOUT", message: "no answer within 30000 ms" });
    expect(attempt).toMatchObject({ durationMs: 30_000, address: "127.0.0.1", bytes: 0 });
    await rig.origin.idle();
    expect(rig.clock.pending).toBe(0);
  });

  test.each([1000, 2 * MIB])("is left in the middle of a body, after %d bytes", async (bytes) => {
    await using rig = await startRig();
    const run = rig.failed(`/stalled-body/${bytes}`);
    await rig.read(bytes);
    const { failure, attempt } = await passing(rig, 30_000, run);
    expect(failure).toMatchObject({ code: "DOWNLOAD_TIMEOUT", message: "no byte for 30000 ms" });
    expect(attempt).toMatchObject({ bytes, httpStatus: 200 });
    await rig.origin.idle();
    expect(await rig.files()).toEqual([]);
    expect(rig.clock.pending).toBe(0);
  });

  test("has its full time again after every byte", async () => {
    await using rig = await startRig();
    const run = rig.failed("/stalled-body/1000");
    await rig.read(1000);
    await rig.clock.advance(29_999);
    await rig.origin.requests[0]?.send("x");
    await rig.read(1001);
    await rig.clock.advance(29_999);
    expect(rig.origin.connections.open).toBe(1);
    await rig.clock.advance(1);
    expect((await run).attempt).toMatchObject({ bytes: 1001, durationMs: 59_999 });
  });

  test("is left behind a redirect as well", async () => {
    await using rig = await startRig();
    const run = rig.failed("/redirect/302/%2Fsilent");
    await rig.origin.requested(2);
    await rig.clock.advance(30_000);
    expect((await run).attempt.durationMs).toBe(30_000);
  });
});

test("a host that is too slow is left, though it is never silent", async () => {
  await using rig = await startRig({ minBytesPerSecond: 1000 });
  const run = rig.failed("/stalled-body/5000");
  await rig.read(5000);
  await rig.clock.advance(29_000);
  await rig.origin.requests[0]?.send("x");
  await rig.read(5001);
  const { failure, attempt } = await passing(rig, 1000, run);
  expect(failure).toMatchObject({ code: "DOWNLOAD_TOO_SLOW", class: "transient" });
  expect(attempt).toMatchObject({ bytes: 5001, httpStatus: 200, durationMs: 30_000 });
  await rig.origin.idle();
  expect(await rig.files()).toEqual([]);
});

describe("a slow storage is no silence of the host", () => {
  test.each(["open", "write", "commit", "put"] as const)("%s has no time limit", async (step) => {
    const store = slowStore(step);
    await using rig = await startRig({ store: store.wrap, minBytesPerSecond: 1_000_000 });
    const bytes = step === "put" ? 1000 : 3 * MIB;
    const run = rig.stored(`/large/${bytes}`);
    await store.reached;
    await rig.clock.advance(1_000_000);
    store.go();
    expect((await run).bytes).toBe(bytes);
    expect(rig.clock.pending).toBe(0);
  });

  test("and it holds the host back", async () => {
    const store = slowStore("write");
    await using rig = await startRig({ store: store.wrap });
    const run = rig.stored("/zeros/200000000");
    await store.reached;
    let before = -1;
    await eventually("the origin is held back", () => {
      const isStill = rig.origin.sent.bytes === before;
      before = rig.origin.sent.bytes;
      return isStill ? true : undefined;
    });
    expect(rig.origin.sent.bytes).toBeLessThan(40 * MIB);
    store.go();
    expect((await run).bytes).toBe(200_000_000);
  });
});

test("a large body takes little memory, though the storage is slow", async () => {
  const peak = { bytes: 0 };
  const watched = (store: ObjectStore): ObjectStore => ({
    ...store,
    async open(ref, options) {
      const upload = await store.open(ref, options);
      return {
        commit: () => upload.commit(),
        abort: () => upload.abort(),
        async write(chunk) {
          await turn();
          peak.bytes = Math.max(peak.bytes, process.memoryUsage.rss());
          return upload.write(chunk);
        },
      };
    },
  });
  await using rig = await startRig({ store: watched });
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  // The limit is half of the body: the tests before this one leave garbage that the process may get back now.
  expect((await rig.stored("/zeros/400000000")).bytes).toBe(400_000_000);
  expect(peak.bytes - before).toBeLessThan(190 * MIB);
}, 60_000);

test("a large body that waits for its host keeps none of the bytes that were stored", async () => {
  await using rig = await startRig();
  const attempts = Array.from({ length: 20 }, (_, id) => {
    return new Attempt({ ...rig.claimed("/stalled-body/600000", { key: `r${id}` }), id }, 1);
  });
  const before = process.memoryUsage().arrayBuffers;
  const runs = attempts.map((attempt) => rig.service.call(attempt));
  await eventually(
    "all wait",
    () => rig.active.list().filter(({ trace }) => trace.bytes === 600_000).length === 20 || undefined,
  );
  Bun.gc(true);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 10_000);
  for (const attempt of attempts) attempt.abort(new InterruptedError("cancel"));
  await Promise.all(runs);
});

describe("an attempt that is interrupted", () => {
  const stages: [string, string, (rig: DownloadRig) => Promise<unknown>][] = [
    ["before the headers", "/silent", (rig) => rig.origin.requested(1)],
    ["in a small body", "/stalled-body/1000", (rig) => rig.read(1000)],
    ["in a large body", "/stalled-body/3000000", (rig) => rig.read(3_000_000)],
  ];
  for (const by of ["cancel", "shutdown"] as const) {
    test.each(stages)(`by ${by} %s ends at once and leaves nothing`, async (_, path, reached) => {
      await using rig = await startRig();
      const attempt = rig.attempt(path);
      const run = rig.service.call(attempt);
      await reached(rig);
      attempt.abort(new InterruptedError(by));
      expect(await run).toEqual({ kind: "interrupted", by });
      await rig.origin.idle();
      expect(await rig.files()).toEqual([]);
      expect(rig.clock.pending).toBe(0);
      expect(rig.active.list()).toEqual([]);
    });
  }

  test("leaves an older object as it was", async () => {
    await using rig = await startRig();
    await rig.stored("/ok");
    const attempt = rig.attempt("/stalled-body/3000000");
    const run = rig.service.call(attempt);
    await rig.read(3_000_000);
    attempt.abort(new InterruptedError("cancel"));
    await run;
    expect(await rig.text()).toBe("what was asked for");
    expect(await rig.files()).toEqual([`${rig.storage.bucket}/r`]);
  });

  test("before its start makes no connection", async () => {
    await using rig = await startRig();
    const attempt = rig.attempt("/ok");
    attempt.abort(new InterruptedError("shutdown"));
    const outcome = await rig.service.call(attempt);
    expect(outcome).toEqual({ kind: "interrupted", by: "shutdown" });
    expect(rig.origin.connections.total).toBe(0);
  });

  test("while a name is resolved does not wait for the resolver", async () => {
    const asked = Promise.withResolvers<void>();
    await using rig = await startRig({
      addresses: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
          asked.resolve();
        }),
    });
    const attempt = rig.attempt("/ok");
    const run = rig.service.call(attempt);
    await asked.promise;
    attempt.abort(new InterruptedError("cancel"));
    expect(await run).toEqual({ kind: "interrupted", by: "cancel" });
  });

  test("by the attempt's own time limit is a failure of the host", async () => {
    await using rig = await startRig();
    const attempt = rig.attempt("/stalled-body/3000000");
    const run = rig.service.call(attempt);
    await rig.read(3_000_000);
    attempt.abort(new Failure("DOWNLOAD_TIMEOUT", "the attempt took too long"));
    expect(await run).toMatchObject({
      kind: "failed",
      failure: { code: "DOWNLOAD_TIMEOUT" },
      attempt: { bytes: 3_000_000 },
    });
    expect(await rig.files()).toEqual([]);
  });
});

describe("a storage that fails", () => {
  const failing =
    (step: "open" | "write" | "commit" | "put", error: unknown) =>
    (store: ObjectStore): ObjectStore => ({
      ...store,
      put: (ref, body, options) => (step === "put" ? Promise.reject(error) : store.put(ref, body, options)),
      async open(ref, options) {
        if (step === "open") throw error;
        const upload = await store.open(ref, options);
        return {
          write: (chunk) => (step === "write" ? Promise.reject(error) : upload.write(chunk)),
          commit: () => (step === "commit" ? Promise.reject(error) : upload.commit()),
          abort: () => upload.abort(),
        };
      },
    });

  test.each(["open", "write", "commit", "put"] as const)(
    "%s: the task waits, the host is let go, nothing is left",
    async (step) => {
      await using rig = await startRig({ store: failing(step, new Failure("UPLOAD_DISK_FULL", "full")) });
      const bytes = step === "put" ? 1000 : 50_000_000;
      const { failure, attempt } = await rig.failed(`/zeros/${bytes}`);
      expect(failure).toMatchObject({ code: "UPLOAD_DISK_FULL", class: "unavailable" });
      expect(attempt).toMatchObject({ httpStatus: 200, code: "UPLOAD_DISK_FULL" });
      expect(await rig.files()).toEqual([]);
      if (step === "open" || step === "write") await rig.origin.idle();
      expect(rig.clock.pending).toBe(0);
    },
  );

  test("an upload that cannot be recorded is not started", async () => {
    await using rig = await startRig({ recordUpload: () => Promise.reject(new Error("database or disk is full")) });
    const { failure } = await rig.failed("/large/3000000");
    expect(failure).toMatchObject({ code: "UPLOAD_UNAVAILABLE", class: "unavailable" });
    expect(failure.message).toContain("queue.db");
    expect(await rig.files()).toEqual([]);
    await rig.origin.idle();
  });

  test("an upload is recorded before its first byte", async () => {
    const recorded: string[] = [];
    await using rig = await startRig({
      recordUpload: ({ id }, { bucket, key, uploadId }) => {
        recorded.push(`${id} ${bucket}/${key} ${uploadId === "" ? "" : "with an id"}`);
        return Promise.resolve();
      },
    });
    await rig.stored("/large/3000000");
    expect(recorded).toEqual([`1 ${rig.storage.bucket}/r with an id`]);
  });
});
