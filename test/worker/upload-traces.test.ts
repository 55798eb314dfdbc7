import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import type { OpenUpload } from "../../src/jobs/object-store.ts";
import type { Settlement } from "../../src/jobs/verdict.ts";
import { KeyGuard } from "../../src/storage/key-guard.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import { execute } from "../../src/worker/execute.ts";
import { InterruptedError } from "../../src/worker/interrupted.ts";
import { OverdueAttempts } from "../../src/worker/overdue-attempts.ts";
import { type Service, serviceOf } from "../../src/worker/service.ts";
import { CLEAN_UP_MS, timeout } from "../../src/worker/timeout.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock, turn } from "../support/clock.ts";
import { startRig } from "../support/download-rig.ts";
import { failedWith, STORED } from "../support/outcomes.ts";
import { rejectionOf } from "../support/rejection.ts";

const CLAIMED = claimedTask();
const POLICY = { maxRetries: 0, backoffMs: 1, backoffMaxMs: 1, maxThrottleMs: 1, maxUnavailableMs: 1 };

/** Executes one attempt; the settlement ends when the test resolves `settling`. */
function executed(service: Service, attempt = new Attempt(CLAIMED, 1), clock = new FakeClock()) {
  const keys = new KeyGuard();
  const settlements: Settlement[] = [];
  const settling = Promise.withResolvers<void>();
  const settle = (settlement: Settlement) => {
    settlements.push(settlement);
    return settling.promise;
  };
  const governor = { throttle: () => {} };
  const deps = { service, settle, governor, keys, policy: POLICY, clock, random: () => 0 };
  const isFree = () => keys.remove(CLAIMED.task, () => Promise.resolve());
  return { execution: execute(attempt, deps), settlements, settling, isFree };
}

/** An attempt whose upload starts, and which then ends as given. */
const beginning = (end: (attempt: Attempt) => ReturnType<Service["call"]>) =>
  serviceOf((attempt) => {
    attempt.track("token").onBegin?.(true);
    return end(attempt);
  });

describe("the settlement records the start of an upload", () => {
  test.each<[string, (attempt: Attempt) => ReturnType<Service["call"]>]>([
    ["of an attempt that fails, whatever its code", async () => failedWith(new Failure("DOWNLOAD_TIMEOUT", ""))],
    ["of an attempt that is cancelled", async () => ({ kind: "interrupted", by: "cancel" })],
    ["of an attempt that the shutdown ends", async () => ({ kind: "interrupted", by: "shutdown" })],
    ["of an attempt that throws", () => Promise.reject(new Error("a fault of ours"))],
  ])("%s", async (_, end) => {
    const { execution, settlements } = executed(beginning(end));
    await execution;
    expect(settlements[0]?.upload).toMatchObject({ uploadBegan: true, token: "token" });
  });

  test("of an abandoned attempt", async () => {
    const clock = new FakeClock();
    const attempt = new Attempt(CLAIMED, 1);
    const hanging = timeout(600_000, clock, new OverdueAttempts())(beginning(() => new Promise(() => {})));
    const { execution, settlements } = executed(hanging, attempt, clock);
    await turn();
    attempt.abort(new InterruptedError("cancel"));
    await clock.advance(CLEAN_UP_MS);
    await execution;
    expect(settlements[0]).toMatchObject({ verdict: { kind: "cancel" }, upload: { uploadBegan: true } });
  });

  test("but not of a refused upload, and not of an attempt before its upload", async () => {
    for (const call of [
      (attempt: Attempt) => {
        const { onBegin } = attempt.track("token");
        onBegin?.(true);
        onBegin?.(false);
        return Promise.resolve(STORED);
      },
      () => Promise.resolve(STORED),
    ]) {
      const { execution, settlements } = executed(serviceOf(call));
      await execution;
      expect(settlements[0]?.upload?.uploadBegan).toBe(false);
    }
  });
});

test("a task's key is held from its attempt's start until it is settled", async () => {
  const ended = Promise.withResolvers<typeof STORED>();
  const { execution, settling, isFree } = executed(serviceOf(() => ended.promise));
  expect(await isFree()).toBe(false);
  ended.resolve(STORED);
  const { settled } = await execution;
  expect(await isFree()).toBe(false);
  settling.resolve();
  await settled;
  expect(await isFree()).toBe(true);
});

test("a task's key is free again where it could not be settled", async () => {
  const { execution, settling, isFree } = executed(serviceOf(() => Promise.resolve(STORED)));
  const { settled } = await execution;
  settling.reject(new Error("the end"));
  expect(String(await rejectionOf(settled))).toBe("Error: the end");
  expect(await isFree()).toBe(true);
});

describe("a download", () => {
  async function traces(path: string) {
    const opened: OpenUpload[] = [];
    const recordUpload = async (_: unknown, upload: OpenUpload) => void opened.push(upload);
    const tokenOf = ({ id, claimId }: { id: number; claimId: number }) => `${id}.${claimId}`;
    await using rig = await startRig({ recordUpload, tokenOf });
    const attempt = rig.attempt(path);
    const { kind } = await rig.service.call(attempt);
    return { kind, opened: opened.map(({ uploadId }) => uploadId), upload: attempt.upload };
  }

  test("that is stored by one request has started its upload, with the token of its claim", async () => {
    expect(await traces("/ok")).toMatchObject({
      kind: "stored",
      opened: [],
      upload: { uploadBegan: true, token: "1.1" },
    });
  });

  test("that is streamed closes the upload that it recorded", async () => {
    const { kind, opened, upload } = await traces("/large/3000000");
    expect([kind, opened.length, upload.uploadBegan]).toEqual(["stored", 1, true]);
    expect([...upload.closed]).toEqual(opened);
  });

  test("that is cut closes the upload that it recorded, and leaves no visible object", async () => {
    const { kind, opened, upload } = await traces("/cut-large/3000000/2000000");
    expect([kind, opened.length, upload.uploadBegan]).toEqual(["failed", 1, false]);
    expect([...upload.closed]).toEqual(opened);
  });

  test("waits with its upload for a removal under its key, and can be ended meanwhile", async () => {
    const keys = new KeyGuard();
    await using rig = await startRig({ keys });
    const { task } = rig.claimed("/ok");
    const removal = Promise.withResolvers<void>();
    void keys.remove(task, () => removal.promise);
    const first = rig.attempt("/ok");
    const ended = rig.service.call(first);
    await rig.head();
    first.abort(new InterruptedError("cancel"));
    expect(await ended).toEqual({ kind: "interrupted", by: "cancel" });
    expect(first.uploadBegan).toBe(false);
    const second = rig.run("/ok");
    await rig.head();
    expect(await rig.files()).toEqual([]);
    removal.resolve();
    expect((await second).kind).toBe("stored");
    expect(await keys.remove(task, () => Promise.resolve())).toBe(true);
  });
});
