import { expect, test } from "bun:test";
import { JobRates } from "../../src/telemetry/rates/job-rates.ts";
import { LEVELS, RateHistory, SUMS } from "../../src/telemetry/rates/rate-history.ts";
import { FakeClock } from "../support/clock.ts";

const LEVELS_NOW = { pending: 5, running: 2, retrying: 1, busy: 2, dead_letters: 9 };

test("a history before its first sample is unknown: null in every step, and 0 in the recent sums", () => {
  const history = new RateHistory(new FakeClock(), () => 0);
  const { stepSeconds, from, to, series } = history.read("15m");
  expect([stepSeconds, to - from]).toEqual([5, 900_000]);
  for (const name of [...SUMS, ...LEVELS]) expect(series[name]).toEqual(Array.from({ length: 180 }, () => null));
  expect(history.recent()).toEqual({ completed: 0, failed: 0, retried: 0, accepted: 0, bytes: 0 });
});

test("each window adds events up by step, keeps the last levels, and leaves the present step out", () => {
  const clock = new FakeClock();
  let received = 0;
  const history = new RateHistory(clock, () => received);
  for (let second = 0; second < 60; second++) {
    history.add("completed");
    received += 10;
    history.sample({ ...LEVELS_NOW, pending: second });
    clock.tick(1000);
  }
  history.add("failed");
  const last = (window: "15m" | "1h" | "24h", name: "completed" | "bytes" | "pending" | "failed", steps: number) =>
    history.read(window).series[name].slice(-steps);
  expect(last("15m", "completed", 13)).toEqual([null, ...Array.from({ length: 12 }, () => 5)]);
  expect(last("1h", "bytes", 7)).toEqual([null, 100, 100, 100, 100, 100, 100]);
  expect(last("24h", "completed", 2)).toEqual([null, 60]);
  expect(last("15m", "pending", 3)).toEqual([49, 54, 59]);
  expect(last("24h", "failed", 1)).toEqual([0]);
  expect(history.recent()).toEqual({ completed: 59, failed: 1, retried: 0, accepted: 0, bytes: 590 });
});

test("a step without a sample is unknown, and a ring forgets what is older than its window", () => {
  const clock = new FakeClock();
  const history = new RateHistory(clock, () => 0);
  history.sample(LEVELS_NOW);
  clock.tick(10_000);
  history.sample(LEVELS_NOW);
  clock.tick(5000);
  expect(history.read("15m").series.pending.slice(-4)).toEqual([null, 5, null, 5]);
  clock.tick(900_000);
  expect(history.read("15m").series.pending.every((value) => value === null)).toBe(true);
  expect(history.read("1h").series.pending.filter((value) => value !== null)).toEqual([5, 5]);
  history.sample(LEVELS_NOW);
  expect(history.read("15m").series.pending.every((value) => value === null)).toBe(true);
  clock.tick(86_460_000);
  expect(history.read("24h").series.completed.every((value) => value === null)).toBe(true);
});

test("a jump of the wall clock moves the shown times, and no value", () => {
  const clock = new FakeClock();
  const history = new RateHistory(clock, () => 0);
  history.sample(LEVELS_NOW);
  clock.tick(5000);
  const before = history.read("15m");
  clock.jump(-3_600_000);
  const after = history.read("15m");
  expect(after.series).toEqual(before.series);
  expect([after.from - before.from, after.to - before.to]).toEqual([-3_600_000, -3_600_000]);
});

test("a job has a speed while its tasks end, and none before, long after, or once it is forgotten", () => {
  const clock = new FakeClock();
  const rates = new JobRates(clock);
  expect(rates.speedOf(1)).toBeUndefined();
  for (let second = 0; second < 20; second++) {
    clock.tick(1000);
    for (let i = 0; i < 4; i++) rates.note(1, i > 0);
  }
  const speed = rates.speedOf(1);
  // The seconds in progress at both ends make it inexact.
  expect(speed?.stored).toBeWithin(2.9, 3.7);
  expect(speed?.ended).toBeWithin(3.9, 4.9);
  expect(rates.speedOf(2)).toBeUndefined();
  clock.tick(61_000);
  expect(rates.speedOf(1)).toBeUndefined();
  rates.note(1, true);
  expect(rates.speedOf(1)).toBeDefined();
  rates.forget(1);
  expect(rates.speedOf(1)).toBeUndefined();
});

test("the speeds of a thousand jobs are kept, those that began last", () => {
  const rates = new JobRates(new FakeClock());
  for (let job = 0; job <= 1000; job++) rates.note(job, true);
  expect([rates.speedOf(0), rates.speedOf(1)?.stored]).toEqual([undefined, 1]);
});
