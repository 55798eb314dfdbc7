/** Values over time, for a chart: the times in seconds since 1970, and as many values of each series; null is a gap. */
export interface Series {
  readonly times: readonly number[];
  readonly values: Readonly<Record<string, readonly (number | null)[]>>;
}

export const NO_SERIES: Series = { times: [], values: {} };

/** A chart that has just started is so wide, with room for what comes. */
const SECONDS_MIN = 120;

/** The start and the end of a chart of these times. The chart library would show a day for a single time. */
export function timeRange(times: ArrayLike<number>): [number, number] {
  const first = times[0] ?? 0;
  return [first, Math.max(times[times.length - 1] ?? 0, first + SECONDS_MIN)];
}

interface Sampling {
  /** Usual time between two samples, in seconds. */
  readonly step: number;
  readonly samplesMax: number;
}

/** The series with one more sample. A late sample leaves a gap before it, so that no line bridges the time between. */
export function withSample(
  series: Series,
  at: number,
  sample: Readonly<Record<string, number>>,
  { step, samplesMax }: Sampling,
): Series {
  const last = series.times.at(-1);
  const isLate = last !== undefined && at - last > 2.5 * step;
  const times = [...series.times, ...(isLate ? [last + step] : []), at].slice(-samplesMax);
  const values = Object.entries(sample).map(([name, value]) => {
    const before = series.values[name] ?? series.times.map(() => null);
    return [name, [...before, ...(isLate ? [null] : []), value].slice(-samplesMax)] as const;
  });
  return { times, values: Object.fromEntries(values) };
}
