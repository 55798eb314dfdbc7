import { expect, test } from "bun:test";
import { NO_SERIES, type Series, timeRange, withSample } from "../../src/console/parts/series.ts";

const SAMPLING = { step: 5, samplesMax: 4 };

function sampled(times: readonly number[], samplesMax = SAMPLING.samplesMax): Series {
  return times.reduce(
    (series, at) => withSample(series, at, { a: at, b: -at }, { ...SAMPLING, samplesMax }),
    NO_SERIES,
  );
}

test("samples add up to the most that are kept; the oldest make room", () => {
  expect(sampled([100])).toEqual({ times: [100], values: { a: [100], b: [-100] } });
  expect(sampled([100, 105, 111, 116, 121])).toEqual({
    times: [105, 111, 116, 121],
    values: { a: [105, 111, 116, 121], b: [-105, -111, -116, -121] },
  });
  const { times, values } = sampled(
    Array.from({ length: 1000 }, (_, at) => at * 5),
    720,
  );
  expect([times.length, values["a"]?.length, times[0]]).toEqual([720, 720, 1400]);
});

test("a sample that comes late leaves a gap, which counts among those that are kept", () => {
  expect(sampled([100, 160, 165])).toEqual({
    times: [100, 105, 160, 165],
    values: { a: [100, null, 160, 165], b: [-100, null, -160, -165] },
  });
  expect(sampled([100, 112]).times).toEqual([100, 112]);
  expect(sampled([100, 160, 220, 280]).values["a"]).toEqual([null, 220, null, 280]);
});

test("a chart covers its times, and two minutes at least", () => {
  expect(timeRange([1000])).toEqual([1000, 1120]);
  expect(timeRange([1000, 1005])).toEqual([1000, 1120]);
  expect(timeRange([1000, 1200, 1300])).toEqual([1000, 1300]);
});
