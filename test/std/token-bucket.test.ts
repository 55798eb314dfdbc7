import { expect, test } from "bun:test";
import { TokenBucket } from "../../src/std/token-bucket.ts";

function bucketOf(perSecond: number) {
  let now = 1000;
  const bucket = new TokenBucket(perSecond, { monotonic: () => now });
  return {
    bucket,
    pass: (ms: number) => {
      now += ms;
    },
    takeAll: () => {
      let taken = 0;
      for (; bucket.waitMs() === 0; taken++) bucket.take();
      return taken;
    },
  };
}

test("a token bucket holds one second's worth, however long the pause", () => {
  const { takeAll, pass } = bucketOf(4);
  expect(takeAll()).toBe(4);
  pass(10_000);
  expect(takeAll()).toBe(4);
});

test("a token bucket fills at its rate, and says how long the next token takes", () => {
  const { bucket, takeAll, pass } = bucketOf(4);
  takeAll();
  expect(bucket.waitMs()).toBe(250);
  pass(100);
  expect(bucket.waitMs()).toBe(150);
  pass(150);
  expect(takeAll()).toBe(1);
});

test("a token bucket of less than one a second lets one through at a time", () => {
  const { bucket, takeAll, pass } = bucketOf(0.5);
  expect(takeAll()).toBe(1);
  expect(bucket.waitMs()).toBe(2000);
  pass(60_000);
  expect(takeAll()).toBe(1);
});
