import { describe, expect, test } from "bun:test";
import { isFinished, JOB_STATUSES, type JobStatus, newJobId, statusOf } from "../../src/jobs/job.ts";

describe("a job's status follows from its counters", () => {
  const rows: readonly [total: number, completed: number, failed: number, cancelled: number, JobStatus][] = [
    [3, 0, 0, 0, "in_progress"],
    [3, 2, 0, 0, "in_progress"],
    [3, 1, 1, 0, "in_progress"],
    [3, 3, 0, 0, "completed"],
    [3, 2, 1, 0, "partial"],
    [3, 1, 2, 0, "partial"],
    [3, 0, 3, 0, "failed"],
    [3, 0, 0, 3, "cancelled"],
    [3, 2, 0, 1, "cancelled"],
    [3, 1, 1, 1, "cancelled"],
  ];
  for (const [total, completed, failed, cancelled, status] of rows) {
    test(`${completed} completed, ${failed} failed, ${cancelled} cancelled of ${total}: ${status}`, () => {
      expect(statusOf({ total, completed, failed, cancelled })).toBe(status);
    });
  }

  test("and is final unless it is queued or in progress", () => {
    expect(JOB_STATUSES.filter((status) => !isFinished(status))).toEqual(["queued", "in_progress"]);
  });
});

describe("a job id", () => {
  test("is a UUIDv7 whose last byte is the instance", () => {
    for (const [instance, end] of [
      [0, "00"],
      [10, "0a"],
      [255, "ff"],
    ] as const) {
      const id = newJobId(instance);
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(id.slice(-2)).toBe(end);
    }
  });

  test("is new each time, even among many of one millisecond", () => {
    const ids = Array.from({ length: 200_000 }, () => newJobId(7));
    expect(new Set(ids).size).toBe(ids.length);
  });
});
