import { describe, expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { StorageCheck } from "../../src/maintenance/bucket-check.ts";
import { bucketHealth } from "../support/bucket-health.ts";
import { FakeClock } from "../support/clock.ts";
import { failedWith, STORED } from "../support/outcomes.ts";

const never = new AbortController().signal;
const notTried = { tryUpload: () => Promise.reject(new Error("no upload is to be tried here")) };

test("the storage is not ready before it was checked, and as the last check found it from then on", async () => {
  let answer: () => Promise<string | undefined> = () => Promise.resolve(undefined);
  const asked: string[] = [];
  const store = {
    ...notTried,
    check: (bucket: string) => {
      asked.push(bucket);
      return answer();
    },
  };
  const check = new StorageCheck(store, bucketHealth());
  expect(check.problem).toBe("not checked yet");
  await check.run(never);
  expect(check.problem).toBeUndefined();
  answer = () => Promise.reject(new Failure("UPLOAD_NO_SUCH_BUCKET", "there is no such bucket"));
  await check.run(never);
  expect(check.problem).toBe("there is no such bucket");
  answer = () => Promise.resolve(undefined);
  await check.run(never);
  expect(check.problem).toBeUndefined();
  expect(asked).toEqual(["artifacts", "artifacts", "artifacts"]);
});

test("a check that was interrupted says nothing of the storage", async () => {
  const stopping = new AbortController();
  const store = {
    ...notTried,
    check: (_: string, signal: AbortSignal) =>
      new Promise<undefined>((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      }),
  };
  const check = new StorageCheck(store, bucketHealth());
  const running = check.run(stopping.signal);
  stopping.abort(new Error("stopping"));
  await running;
  expect(check.problem).toBe("not checked yet");
});

test("a doubt is no problem, and goes as soon as a check has none", async () => {
  let doubt: string | undefined = "S3 denies to look";
  const check = new StorageCheck({ ...notTried, check: () => Promise.resolve(doubt) }, bucketHealth());
  await check.run(never);
  expect([check.problem, check.doubt]).toEqual([undefined, "S3 denies to look"]);
  doubt = undefined;
  await check.run(never);
  expect([check.problem, check.doubt]).toEqual([undefined, undefined]);
});

describe("a closed bucket", () => {
  /** A gate that a failed task closed, and a check whose answers are given by bucket. */
  function closedGate(bucket: string) {
    const clock = new FakeClock();
    const gate = bucketHealth(clock);
    const away = new Failure("UPLOAD_UNAVAILABLE", "no answer");
    gate.judge(bucket, "work", failedWith(away));
    const answers = new Map<string, Failure | string>();
    const store = {
      tryUpload: () => Promise.reject(away),
      check: (name: string) => {
        const answer = answers.get(name);
        return answer instanceof Failure ? Promise.reject(answer) : Promise.resolve(answer);
      },
    };
    const check = new StorageCheck(store, gate);
    return { clock, store, gate, away, answers, check, isOpen: () => gate.problems().size === 0 };
  }

  test.each(["artifacts", "another"])("opens when a check of it works after one that failed: %s", async (bucket) => {
    const { gate, away, answers, check, isOpen } = closedGate(bucket);
    answers.set(bucket, away);
    await check.run(never);
    expect([isOpen(), gate.admit(bucket)]).toEqual([false, undefined]);
    answers.delete(bucket);
    await check.run(never);
    expect([isOpen(), gate.admit(bucket)]).toEqual([true, "work"]);
  });

  test("stays closed where the check never failed: it does not see what closed the bucket", async () => {
    const { check, isOpen } = closedGate("artifacts");
    await check.run(never);
    await check.run(never);
    expect(isOpen()).toBe(false);
  });

  test("opens when a small object can be stored, whatever tasks try", async () => {
    const { clock, store, gate, away, isOpen } = closedGate("artifacts");
    let failure: Failure | undefined = away;
    const tryUpload = () => (failure === undefined ? Promise.resolve() : Promise.reject(failure));
    let trials = 0;
    const counted = () => tryUpload().finally(() => trials++);
    const check = new StorageCheck({ ...store, tryUpload: counted }, gate);
    await check.tryClosed(never);
    expect([trials, isOpen()]).toEqual([0, false]);
    clock.tick(1000);
    await check.tryClosed(never);
    expect([trials, isOpen()]).toEqual([1, false]);
    // A large task tries it, too; the test does not wait for it.
    expect(gate.admit("artifacts")).toBe("probe");
    failure = undefined;
    await check.tryClosed(never);
    expect(isOpen()).toBe(true);
  });

  test("wakes those who wait for it when it opens, once, however it opens", async () => {
    let opened = 0;
    const clock = new FakeClock();
    const health = bucketHealth(clock, () => opened++);
    const away = new Failure("UPLOAD_UNAVAILABLE", "no answer");
    health.trialWorked("artifacts");
    expect(opened).toBe(0);
    health.close("artifacts", away);
    health.trialWorked("artifacts");
    health.trialWorked("artifacts");
    expect(opened).toBe(1);
    health.close("artifacts", away);
    health.checkFailed("artifacts");
    health.checkWorked("artifacts", false);
    expect(opened).toBe(2);
    health.close("artifacts", away);
    health.judge("artifacts", "work", STORED);
    expect([opened, health.problems().size]).toEqual([3, 0]);
  });

  test("is not opened by an upload that fails, nor by one that is interrupted", async () => {
    const { clock, store, gate, check, isOpen } = closedGate("artifacts");
    clock.tick(1000);
    await check.tryClosed(never);
    expect(isOpen()).toBe(false);
    const stopping = new AbortController();
    const tryUpload = () => Promise.resolve(stopping.abort());
    await new StorageCheck({ ...store, tryUpload }, gate).tryClosed(stopping.signal);
    expect(isOpen()).toBe(false);
  });

  test("stays closed where the check has doubts: a task finds out", async () => {
    const { away, answers, check, isOpen } = closedGate("artifacts");
    answers.set("artifacts", away);
    await check.run(never);
    answers.set("artifacts", "S3 denies to look");
    await check.run(never);
    answers.delete("artifacts");
    await check.run(never);
    expect(isOpen()).toBe(false);
  });

  test("that another task closes later does not open for a failure of before", async () => {
    const { gate, away, answers, check, isOpen } = closedGate("another");
    answers.set("another", away);
    await check.run(never);
    gate.trialWorked("another");
    await check.run(never);
    answers.delete("another");
    gate.judge("another", "work", failedWith(away));
    await check.run(never);
    expect(isOpen()).toBe(false);
  });
});
