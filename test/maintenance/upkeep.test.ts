import { expect, test } from "bun:test";
import { Scheduler } from "../../src/maintenance/scheduler.ts";
import { FakeClock } from "../support/clock.ts";

test("chores are done each at its own pace", async () => {
  const clock = new FakeClock();
  const done: string[] = [];
  const upkeep = new Scheduler(clock);
  upkeep.start([
    { everyMs: 1000, run: () => void done.push("often") },
    { everyMs: 2500, run: () => void done.push("seldom") },
  ]);
  await clock.advance(5000);
  expect(done.filter((name) => name === "often").length).toBe(5);
  expect(done.filter((name) => name === "seldom").length).toBe(2);
  upkeep.stop();
});

test("a chore is never done twice at a time", async () => {
  const clock = new FakeClock();
  let begun = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const upkeep = new Scheduler(clock);
  const run = () => {
    begun++;
    return promise;
  };
  upkeep.start([{ everyMs: 1000, run }]);
  await clock.advance(10_000);
  expect(begun).toBe(1);
  resolve();
  await clock.advance(1000);
  expect(begun).toBe(2);
  upkeep.stop();
});

test("stopping aborts the chore under way and leaves no timer", async () => {
  const clock = new FakeClock();
  const upkeep = new Scheduler(clock);
  const { promise, resolve } = Promise.withResolvers<void>();
  let given: AbortSignal | undefined;
  let done = 0;
  const run = (signal: AbortSignal) => {
    given = signal;
    return promise;
  };
  upkeep.start([
    { everyMs: 1000, run },
    { everyMs: 1500, run: () => void done++ },
  ]);
  await clock.advance(1000);
  upkeep.stop();
  expect(given?.aborted).toBe(true);
  resolve();
  await clock.advance(10_000);
  expect([done, clock.pending]).toEqual([0, 0]);
});
