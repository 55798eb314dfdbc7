/** The kinds of metrics that k6 has. */
export type Kind = "counter" | "gauge" | "rate" | "trend";

export type Tags = Readonly<Record<string, string>>;

interface Series {
  readonly tags: Tags;
  readonly values: number[];
}

/** All samples of one metric, by their tags. */
export class Metric {
  readonly name: string;
  readonly kind: Kind;
  readonly #series = new Map<string, Series>();

  constructor(name: string, kind: Kind) {
    this.name = name;
    this.kind = kind;
  }

  add(value: number | boolean, tags: Tags = {}): void {
    const key = JSON.stringify(tags);
    let series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, (series = { tags, values: [] }));
    series.values.push(Number(value));
  }

  /** All values whose tags include `tags`. */
  values(tags: Tags = {}): number[] {
    const fits = (series: Series) => Object.entries(tags).every(([name, value]) => series.tags[name] === value);
    return [...this.#series.values()].filter(fits).flatMap(({ values }) => values);
  }

  /** All values by the value of one tag. */
  byTag(tag: string): Map<string, number[]> {
    const groups = new Map<string, number[]>();
    for (const { tags, values } of this.#series.values()) {
      const name = tags[tag] ?? "";
      groups.set(name, [...(groups.get(name) ?? []), ...values]);
    }
    return groups;
  }
}

/** One metric by its name; all parts of a run share them. */
export class Metrics {
  readonly #byName = new Map<string, Metric>();
  readonly startedAt = performance.now();

  of(name: string, kind: Kind): Metric {
    let metric = this.#byName.get(name);
    if (metric === undefined) this.#byName.set(name, (metric = new Metric(name, kind)));
    return metric;
  }

  get all(): Metric[] {
    return [...this.#byName.values()];
  }

  find(name: string): Metric | undefined {
    return this.#byName.get(name);
  }
}

/** The p-th percentile of sorted values, interpolated as k6 does. */
export function percentile(sorted: readonly number[], p: number): number {
  const at = (p / 100) * (sorted.length - 1);
  const [below = 0, above = below] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}

/** The value that a threshold such as `p(99)<500` compares; 0 without samples. */
export function aggregate(method: string, values: readonly number[], seconds: number): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const sorted = values.toSorted((a, b) => a - b);
  const [, p] = /^p\(([\d.]+)\)$/.exec(method) ?? [];
  if (p !== undefined) return percentile(sorted, Number(p));
  switch (method) {
    case "count":
      return sum;
    case "avg":
      return values.length === 0 ? 0 : sum / values.length;
    case "med":
      return percentile(sorted, 50);
    case "min":
      return sorted[0] ?? 0;
    case "max":
      return sorted.at(-1) ?? 0;
    case "value":
      return values.at(-1) ?? 0;
    case "per_second":
      return sum / seconds;
    default:
      throw new Error(`unknown aggregation "${method}"`);
  }
}
