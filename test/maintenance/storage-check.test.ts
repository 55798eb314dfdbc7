import { expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { StorageCheck } from "../../src/maintenance/storage-check.ts";

const never = new AbortController().signal;

test("the storage is not ready before it was checked, and as the last check found it from then on", async () => {
  let answer: () => Promise<void> = () => Promise.resolve();
  const asked: string[] = [];
  const store = {
    check: (bucket: string) => {
      asked.push(bucket);
      return answer();
    },
  };
  const check = new StorageCheck(store, "artifacts");
  expect(check.problem).toBe("not checked yet");
  await check.run(never);
  expect(check.problem).toBeUndefined();
  answer = () => Promise.reject(new Failure("UPLOAD_NO_SUCH_BUCKET", "there is no such bucket"));
  await check.run(never);
  expect(check.problem).toBe("there is no such bucket");
  answer = () => Promise.resolve();
  await check.run(never);
  expect(check.problem).toBeUndefined();
  expect(asked).toEqual(["artifacts", "artifacts", "artifacts"]);
});

test("a check that was interrupted says nothing of the storage", async () => {
  const stopping = new AbortController();
  const store = {
    check: (_: string, signal: AbortSignal) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      }),
  };
  const check = new StorageCheck(store, "artifacts");
  const running = check.run(stopping.signal);
  stopping.abort(new Error("stopping"));
  await running;
  expect(check.problem).toBe("not checked yet");
});
