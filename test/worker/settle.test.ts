import { describe, expect, test } from "bun:test";
import { Failure, type FailureCode } from "../../src/jobs/failure.ts";
import type { ObjectInfo } from "../../src/jobs/object-store.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Settlement, UploadTraces, Verdict } from "../../src/jobs/verdict.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { createSettle } from "../../src/worker/settle.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock } from "../support/clock.ts";
import { rejectionOf } from "../support/rejection.ts";

const JOB = claimedTask().job.jobId;
const attempt = (code: FailureCode) => ({ startedAt: 0, durationMs: 0, code, message: "", bytes: 0 });
const discard = (code: FailureCode): Verdict => ({
  kind: "discard",
  code,
  message: "",
  attempt: attempt(code),
  attempts: 1,
});

interface Options {
  /** The object under the task's key. */
  readonly object?: Partial<ObjectInfo>;
  readonly isStale?: boolean;
  readonly storageFailure?: Failure;
}

function setup({ object, isStale = false, storageFailure }: Options = {}) {
  const log: string[] = [];
  const stop = new AbortController();
  const clock = new FakeClock();
  const keys = new KeyGuard();
  const trouble = { left: 0 };
  const settle = createSettle({
    settleInQueue: ({ verdict }) => {
      if (trouble.left-- > 0) return Promise.reject(new Error("full"));
      log.push(`settled: ${verdict.kind}`);
      return Promise.resolve(!isStale);
    },
    store: {
      head: (ref) =>
        storageFailure === undefined
          ? Promise.resolve(object && { ...ref, bytes: 1, etag: "", labels: {}, ...object })
          : Promise.reject(storageFailure),
      remove: (ref) => {
        if (storageFailure !== undefined) return Promise.reject(storageFailure);
        log.push(`removed ${ref.key}`);
        return Promise.resolve();
      },
    },
    keys,
    report: ({ verdict }) => log.push(`reported: ${verdict.kind}`),
    onLeftOver: ({ key }, error) => log.push(`left over: ${key}: ${(error as Error).message}`),
    onTrouble: (error) => log.push(`trouble: ${(error as Error).message}`),
    clock,
    signal: stop.signal,
  });
  return { settle, log, stop, clock, keys, trouble };
}

test("a verdict goes to the queue and is reported", async () => {
  const { settle, log } = setup();
  await settle({ claimed: claimedTask(), verdict: { kind: "release" } });
  expect(log).toEqual(["settled: release", "reported: release"]);
});

test("a stale claim is not reported", async () => {
  const { settle, log } = setup({ isStale: true });
  await settle({ claimed: claimedTask(), verdict: { kind: "release" } });
  expect(log).toEqual(["settled: release"]);
});

test("a queue that cannot be written is tried each second, until the process ends", async () => {
  const { settle, log, stop, clock, trouble } = setup();
  trouble.left = 1000;
  const ended = rejectionOf(settle({ claimed: claimedTask(), verdict: { kind: "release" } }));
  await clock.advance(59_000);
  expect(log.length).toBe(60);
  stop.abort(new Error("the end"));
  expect(String(await ended)).toBe("Error: the end");
  expect(clock.pending).toBe(0);
});

describe("the object of an earlier attempt", () => {
  const own = { key: `resources/default/${JOB}/r` };
  const shared = { key: "shared/r" };
  const crashed = { mayHaveStored: true };
  const began = { uploadBegan: true, probeOpen: false, token: "t", closed: new Set<string>() };
  const refused = { ...began, uploadBegan: false };
  const settlement = (
    task: { key: string },
    more: Partial<ClaimedTask>,
    verdict: Verdict,
    upload?: UploadTraces,
  ): Settlement => ({
    claimed: claimedTask(task, more),
    verdict,
    ...(upload !== undefined && { upload }),
  });

  test("is removed before the task fails for good", async () => {
    const { settle, log } = setup();
    await settle(settlement(own, crashed, discard("DOWNLOAD_HTTP_404")));
    expect(log).toEqual([`removed ${own.key}`, "settled: discard", "reported: discard"]);
  });

  test.each<[string, Partial<ClaimedTask>, Verdict, UploadTraces | undefined]>([
    ["an upload that began and failed by its own timeout", {}, discard("UPLOAD_TIMEOUT"), began],
    ["an upload that began before the attempt's time was over", {}, discard("DOWNLOAD_TIMEOUT"), began],
    ["an upload that began before its job was cancelled", {}, { kind: "cancel" }, began],
    ["an upload of an earlier attempt", crashed, { kind: "cancel" }, undefined],
  ])("may come of %s", async (_, more, verdict, upload) => {
    const { settle, log } = setup();
    await settle(settlement(own, more, verdict, upload));
    expect(log[0]).toBe(`removed ${own.key}`);
  });

  test.each<[string, Partial<ClaimedTask>, Verdict, UploadTraces | undefined]>([
    ["a task that failed before any upload", {}, discard("DOWNLOAD_HTTP_404"), undefined],
    ["a task that was cancelled before any upload", {}, { kind: "cancel" }, refused],
    ["a task whose object was refused", {}, discard("UPLOAD_ACCESS_DENIED"), refused],
    ["a task that is not given up", crashed, { kind: "release" }, began],
    ["a task that is retried", crashed, { kind: "retry", attempt: attempt("DOWNLOAD_RESET"), availableAt: 0 }, began],
  ])("is not looked for with %s", async (_, more, verdict, upload) => {
    const { settle, log } = setup();
    await settle(settlement(own, more, verdict, upload));
    expect(log.filter((line) => line.startsWith("removed"))).toEqual([]);
  });

  test("is left alone under a key that another task writes", async () => {
    for (const isWritten of [true, false]) {
      const { settle, log, keys } = setup({ object: { labels: { job: JOB, task: "1" } } });
      const ref = { bucket: "artifacts", key: shared.key };
      keys.hold(ref); // the task's own
      if (isWritten) keys.hold(ref);
      await settle(settlement(shared, crashed, discard("DOWNLOAD_HTTP_404")));
      expect(log.includes("removed shared/r")).toBe(!isWritten);
    }
  });

  test("is removed from a key that others may write only if its labels name this task", async () => {
    const cases: [Partial<ObjectInfo> | undefined, boolean][] = [
      [undefined, false],
      [{ labels: {} }, false],
      [{ labels: { job: JOB, task: "2" } }, false],
      [{ labels: { job: "another", task: "1" } }, false],
      [{ labels: { job: JOB, task: "1" } }, true],
    ];
    for (const [object, isRemoved] of cases) {
      const { settle, log } = setup(object === undefined ? {} : { object });
      await settle(settlement(shared, crashed, discard("DOWNLOAD_HTTP_404")));
      expect(log.includes("removed shared/r")).toBe(isRemoved);
      expect(log.at(-1)).toBe("reported: discard");
    }
  });

  test("does not keep the task from ending when the storage is away", async () => {
    const { settle, log } = setup({ storageFailure: new Failure("UPLOAD_UNAVAILABLE", "away") });
    await settle(settlement(own, crashed, discard("DOWNLOAD_HTTP_404")));
    expect(log).toEqual([`left over: ${own.key}: away`, "settled: discard", "reported: discard"]);
  });
});
