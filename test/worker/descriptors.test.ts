import { expect, test } from "bun:test";
import { Failure } from "../../src/jobs/failure.ts";
import { Attempt } from "../../src/worker/attempt.ts";
import {
  Descriptors,
  descriptorGuard,
  hangingConnectsThatFit,
  limitFor,
  workersThatFit,
} from "../../src/worker/descriptors.ts";
import { serviceOf } from "../../src/worker/service.ts";
import { claimedTask } from "../support/claimed.ts";
import { FakeClock } from "../support/clock.ts";
import { failedWith } from "../support/outcomes.ts";

const emfile = () => Object.assign(new Error("too many open files"), { code: "EMFILE" });

function setup() {
  const clock = new FakeClock();
  const told: string[] = [];
  const descriptors = new Descriptors({
    clock,
    limit: 1024,
    relieve: () => told.push("relieve"),
    onShort: () => told.push("short"),
    onEnough: () => told.push("enough"),
  });
  return { clock, told, descriptors };
}

test("a shortage of descriptors costs no attempt, and no other attempt starts for a second", async () => {
  const { clock, told, descriptors } = setup();
  let calls = 0;
  const service = descriptorGuard(descriptors)(
    serviceOf(() => {
      calls++;
      return Promise.resolve(failedWith(new Failure("UPLOAD_UNAVAILABLE", "cannot store", { cause: emfile() })));
    }),
  );
  const call = () => service.call(new Attempt(claimedTask(), 1));
  expect(await call()).toEqual({ kind: "interrupted", by: "no descriptors" });
  expect(await call()).toEqual({ kind: "interrupted", by: "no descriptors" });
  expect(calls).toBe(1);
  descriptors.check();
  expect(told).toEqual(["short", "relieve", "relieve"]);
  clock.tick(1000);
  descriptors.check();
  expect(told).toEqual(["short", "relieve", "relieve", "relieve", "enough"]);
  expect(descriptors.problem).toBeUndefined();
  descriptors.close();
});

test("while there are enough descriptors a failure stays as it is", async () => {
  const { told, descriptors } = setup();
  const failed = failedWith(new Failure("DOWNLOAD_CONNECT_FAILED", "refused"));
  const service = descriptorGuard(descriptors)(serviceOf(() => Promise.resolve(failed)));
  expect(await service.call(new Attempt(claimedTask(), 1))).toEqual(failed);
  expect(told).toEqual([]);
  descriptors.close();
});

test("connects that were given up may keep an eighth of the limit, at most 1,024 descriptors", () => {
  expect([undefined, 64, 1024, 4096, 8192, 1_048_576].map(hangingConnectsThatFit)).toEqual([
    128, 8, 128, 512, 1024, 1024,
  ]);
});

test("as many workers run as the limit has room for, and at least one", () => {
  expect(workersThatFit(8, undefined)).toBe(8);
  expect(workersThatFit(8, 1024)).toBe(8);
  expect(workersThatFit(4096, limitFor(4096))).toBe(4096);
  expect(workersThatFit(4096, limitFor(4096) - 1)).toBe(4095);
  expect(workersThatFit(64, 64)).toBe(8);
  expect(workersThatFit(64, 20)).toBe(1);
});
