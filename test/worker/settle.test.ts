import { describe, expect, test } from "bun:test";
import { Failure, type FailureCode } from "../../src/jobs/failure.ts";
import type { ObjectInfo } from "../../src/jobs/object-store.ts";
import type { ClaimedTask } from "../../src/jobs/task.ts";
import type { Settlement, Verdict } from "../../src/jobs/verdict.ts";
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
  /** What the storage has under the task's key. */
  readonly object?: Partial<ObjectInfo>;
  readonly isStale?: boolean;
  readonly storageFailure?: Failure;
}

function setup({ object, isStale = false, storageFailure }: Options = {}) {
  const log: string[] = [];
  const stop = new AbortController();
  const clock = new FakeClock();
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
    report: ({ verdict }) => log.push(`reported: ${verdict.kind}`),
    onLeftOver: ({ key }, error) => log.push(`left over: ${key}: ${(error as Error).message}`),
    onTrouble: (error) => log.push(`trouble: ${(error as Error).message}`),
    clock,
    signal: stop.signal,
  });
  return { settle, log, stop, clock, trouble };
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

describe("what an earlier attempt may have stored", () => {
  const own = { key: `resources/default/${JOB}/r` };
  const shared = { key: "shared/r" };
  const crashed = { interrupted: true };
  const settlement = (task: { key: string }, more: Partial<ClaimedTask>, verdict: Verdict): Settlement => ({
    claimed: claimedTask(task, more),
    verdict,
  });

  test("is removed before the task fails for good", async () => {
    const { settle, log } = setup();
    await settle(settlement(own, crashed, discard("DOWNLOAD_HTTP_404")));
    expect(log).toEqual([`removed ${own.key}`, "settled: discard", "reported: discard"]);
  });

  test.each<[string, Partial<ClaimedTask>, Verdict]>([
    ["an upload without answer", {}, discard("UPLOAD_TIMEOUT")],
    ["an upload without answer before", { history: [attempt("UPLOAD_TIMEOUT")] }, discard("DOWNLOAD_HTTP_404")],
  ])("may come of %s", async (_, more, verdict) => {
    const { settle, log } = setup();
    await settle(settlement(own, more, verdict));
    expect(log[0]).toBe(`removed ${own.key}`);
  });

  test.each<[string, Partial<ClaimedTask>, Verdict]>([
    ["a task that failed before any upload", {}, discard("DOWNLOAD_HTTP_404")],
    ["a task whose object was rejected", { history: [attempt("UPLOAD_REJECTED")] }, discard("UPLOAD_REJECTED")],
    ["a task that is not given up", crashed, { kind: "release" }],
    ["a task that is retried", crashed, { kind: "retry", attempt: attempt("DOWNLOAD_RESET"), availableAt: 0 }],
  ])("is not looked for with %s", async (_, more, verdict) => {
    const { settle, log } = setup();
    await settle(settlement(own, more, verdict));
    expect(log.filter((line) => line.startsWith("removed"))).toEqual([]);
  });

  test("is removed from a key that others may write only where the object says that it is this task's", async () => {
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
