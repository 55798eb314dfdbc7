import { expect, test } from "bun:test";
import { armFailpoint, FAILPOINTS, parseFailpoint } from "../../src/std/failpoint.ts";

test("a failpoint is named, with the time at which it counts", () => {
  expect(parseFailpoint("dlq.applied")).toEqual({ point: "dlq.applied", times: 1 });
  expect(parseFailpoint("queue.after-commit/taskFailed:12")).toEqual({
    point: "queue.after-commit/taskFailed",
    times: 12,
  });
  for (const text of ["", "nonsense", "dlq.applied:0", "dlq.applied:x", "dlq.applied:1:2", "?"]) {
    expect(parseFailpoint(text)).toBeUndefined();
  }
});

test("an armed failpoint ends the process once, when it was passed so many times", () => {
  let ends = 0;
  const reach = armFailpoint({ point: "ledger.applied", times: 2 }, () => ends++);
  for (const point of FAILPOINTS) reach(point);
  expect(ends).toBe(0);
  for (const point of FAILPOINTS) reach(point);
  expect(ends).toBe(1);
  for (const point of FAILPOINTS) reach(point);
  expect(ends).toBe(1);
});
