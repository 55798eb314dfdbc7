import { expect, test } from "bun:test";
import { schedule } from "../../scripts/load/executors.ts";
import { Metrics, percentile } from "../../scripts/load/metrics.ts";
import { judge, milliseconds } from "../../scripts/load/thresholds.ts";

test("an even rate is an even schedule, and a ramp has the number of starts below it", () => {
  const even = [...schedule(50, [{ target: 50, duration: "2s" }], 1000)];
  expect(even.length).toBe(100);
  expect(even.slice(0, 4)).toEqual([0, 20, 40, 60]);
  const ramp = [...schedule(0, [{ target: 100, duration: "10s" }], 1000)];
  expect(Math.abs(ramp.length - 500)).toBeLessThanOrEqual(1);
  expect(ramp.filter((at) => at < 5000).length).toBeLessThan(130);
});

test("durations and percentiles are k6's", () => {
  expect(["500ms", "1m30s", "2h"].map(milliseconds)).toEqual([500, 90_000, 7_200_000]);
  expect([50, 95, 100].map((p) => percentile([1, 2, 3, 4, 5], p))).toEqual([3, 4.8, 5]);
});

test("a threshold counts the samples of its tags, and a metric without samples meets it", () => {
  const metrics = new Metrics();
  metrics.of("http_req_failed", "rate").add(false, { expected: "yes" });
  metrics.of("http_req_failed", "rate").add(true, { expected: "no" });
  metrics.of("ms", "trend").add(100);
  const verdicts = judge(
    {
      http_req_failed: ["rate<0.5"],
      "http_req_failed{expected:yes}": ["rate<0.001"],
      ms: ["p(99)<100", "max<=100"],
      dropped_iterations: ["count==0"],
      absent: ["p(99)<1"],
    },
    metrics,
  );
  expect(verdicts.map(({ isMet }) => isMet)).toEqual([false, true, false, true, true, true]);
});
