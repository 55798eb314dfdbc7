import { expect, test } from "bun:test";
import { watchEventLoop } from "../../src/telemetry/event-loop-lag.ts";
import { FakeClock } from "../support/clock.ts";

test("a loop that stood still is told, for a while, and a busy one is not", async () => {
  const clock = new FakeClock();
  const seen: number[] = [];
  const watch = watchEventLoop(clock, (seconds) => seen.push(seconds));
  await clock.advance(1000);
  expect(seen).toEqual([0, 0]);
  expect(watch.stuckMs()).toBeUndefined();
  clock.tick(1900);
  expect(watch.stuckMs()).toBeUndefined();
  clock.tick(4100);
  // Asked before the timer had its turn, and after it.
  expect(watch.stuckMs()).toBe(5500);
  await clock.advance(0);
  expect(seen.at(-1)).toBe(5.5);
  await clock.advance(9000);
  expect(watch.stuckMs()).toBe(5500);
  await clock.advance(1000);
  expect(watch.stuckMs()).toBeUndefined();
  watch.stop();
  expect(clock.pending).toBe(0);
});
