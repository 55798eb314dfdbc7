import { expect, test } from "bun:test";
import { Scheduler } from "../../src/maintenance/scheduler.ts";
import { FakeClock } from "../support/clock.ts";

test("periodic tasks run each at its own interval", async () => {
  const clock = new FakeClock();
  const done: string[] = [];
  const scheduler = new Scheduler(clock);
  scheduler.start([
    { everyMs: 1000, run: () => void done.push("often") },
    { everyMs: 2500, run: () => void done.push("seldom") },
  ]);
  await clock.advance(5000);
  expect(done.filter((name) => name === "often").length).toBe(5);
  expect(done.filter((name) => name === "seldom").length).toBe(2);
  scheduler.stop();
});

test("a periodic task never runs twice at a time", async () => {
  const clock = new FakeClock();
  let started = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const scheduler = new Scheduler(clock);
  const run = () => {
    started++;
    return promise;
  };
  scheduler.start([{ everyMs: 1000, run }]);
  await clock.advance(10_000);
  expect(started).toBe(1);
  resolve();
  await clock.advance(1000);
  expect(started).toBe(2);
  scheduler.stop();
});

test("stopping aborts the running task and leaves no timer", async () => {
  const clock = new FakeClock();
  const scheduler = new Scheduler(clock);
  const { promise, resolve } = Promise.withResolvers<void>();
  let given: AbortSignal | undefined;
  let done = 0;
  const run = (signal: AbortSignal) => {
    given = signal;
    return promise;
  };
  scheduler.start([
    { everyMs: 1000, run },
    { everyMs: 1500, run: () => void done++ },
  ]);
  await clock.advance(1000);
  scheduler.stop();
  expect(given?.aborted).toBe(true);
  resolve();
  await clock.advance(10_000);
  expect([done, clock.pending]).toEqual([0, 0]);
});
