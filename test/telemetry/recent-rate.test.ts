import { expect, test } from "bun:test";
import { RecentRate } from "../../src/telemetry/recent-rate.ts";
import { FakeClock } from "../support/clock.ts";

function setup(windowSeconds = 10) {
  const clock = new FakeClock();
  const rate = new RecentRate(clock, windowSeconds);
  /** So many events a second, evenly, for so long. */
  const run = (perSecond: number, seconds: number) => {
    for (let i = 0; i < perSecond * seconds; i++) {
      clock.tick(1000 / perSecond);
      rate.note();
    }
  };
  return { clock, rate, run };
}

test("nothing is a rate of 0, and the first second is no burst", () => {
  const { clock, rate } = setup();
  expect(rate.perSecond()).toBe(0);
  for (let i = 0; i < 5; i++) rate.note();
  expect(rate.perSecond()).toBe(5);
  clock.tick(2000);
  expect(rate.perSecond()).toBe(2.5);
});

test.each([5, 8, 250])("%d events a second are that, before the window is full and after", (perSecond) => {
  const { rate, run } = setup();
  for (const seconds of [4, 60]) {
    run(perSecond, seconds);
    expect(rate.perSecond() / perSecond).toBeWithin(0.9, 1.1);
  }
});

test("a change shows after five seconds where much happens", () => {
  const { rate, run } = setup(60);
  run(100, 50);
  run(20, 6);
  expect(rate.perSecond()).toBeWithin(18, 30);
});

test("a little is told over the whole window, and forgotten when it is older", () => {
  const { clock, rate } = setup(60);
  for (let i = 0; i < 8; i++) {
    clock.tick(5000);
    rate.note();
  }
  expect(rate.perSecond()).toBeWithin(0.19, 0.24);
  clock.tick(54_000);
  expect(rate.perSecond()).toBeWithin(0, 0.05);
  clock.tick(7000);
  expect(rate.perSecond()).toBe(0);
  rate.note();
  expect(rate.perSecond()).toBe(1);
});

test("what stopped fades, and is nothing after the window", () => {
  const { clock, rate, run } = setup(10);
  run(50, 20);
  clock.tick(5000);
  expect(rate.perSecond()).toBeWithin(5, 15);
  clock.tick(6000);
  expect(rate.perSecond()).toBe(0);
});

test("a stall that is over does not count", () => {
  const { clock, rate, run } = setup(60);
  run(80, 30);
  clock.tick(25_000);
  run(80, 2);
  expect(rate.perSecond()).toBeWithin(75, 85);
  run(80, 3);
  expect(rate.perSecond()).toBeWithin(75, 85);
  clock.tick(25_000);
  run(3, 4);
  expect(rate.perSecond()).toBeWithin(2.5, 3.5);
});

test("bursts with rests between them are no stalls", () => {
  const { clock, rate } = setup(60);
  for (let i = 0; i < 6; i++) {
    clock.tick(10_000);
    for (let n = 0; n < 20; n++) rate.note();
  }
  clock.tick(1000);
  expect(rate.perSecond()).toBeWithin(1, 5);
  expect(rate.sinceLastMs).toBe(1000);
});
