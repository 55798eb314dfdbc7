import { aggregate, type Metric, type Metrics, type Tags } from "./metrics.ts";

/** A threshold as a script gives it. */
export type Threshold =
  | string
  | { readonly threshold: string; readonly abortOnFail?: boolean; readonly delayAbortEval?: string };
export type Thresholds = Readonly<Record<string, readonly Threshold[]>>;

export interface Verdict {
  /** `metric{tags}: expression`. */
  readonly text: string;
  readonly value: number;
  readonly isMet: boolean;
  readonly abortsAfterMs: number | undefined;
}

const COMPARE: Readonly<Record<string, (value: number, limit: number) => boolean>> = {
  "<": (value, limit) => value < limit,
  "<=": (value, limit) => value <= limit,
  ">": (value, limit) => value > limit,
  ">=": (value, limit) => value >= limit,
  "==": (value, limit) => value === limit,
  "===": (value, limit) => value === limit,
  "!=": (value, limit) => value !== limit,
};

/** Compares all thresholds of a script. A metric without samples meets its thresholds, as in k6. */
export function judge(thresholds: Thresholds, metrics: Metrics): Verdict[] {
  return Object.entries(thresholds).flatMap(([selector, list]) => {
    const { name, tags } = parseSelector(selector);
    return list.map((entry) => {
      const threshold = typeof entry === "string" ? { threshold: entry } : entry;
      const { value, isMet } = compare(threshold.threshold, metrics.find(name), tags, metrics);
      const abortsAfterMs = threshold.abortOnFail === true ? milliseconds(threshold.delayAbortEval ?? "0s") : undefined;
      return { text: `${selector}: ${threshold.threshold}`, value, isMet, abortsAfterMs };
    });
  });
}

function parseSelector(selector: string): { name: string; tags: Tags } {
  const [, name = selector, list] = /^([^{]+)(?:\{(.*)\})?$/.exec(selector) ?? [];
  const pairs = (list ?? "").split(",").filter((pair) => pair !== "");
  const tags = Object.fromEntries(
    pairs.map((pair) => pair.split(":").map((part) => part.trim())) as [string, string][],
  );
  return { name, tags };
}

function compare(expression: string, metric: Metric | undefined, tags: Tags, { startedAt }: Metrics) {
  const [, method = "", operator = "", limit = ""] =
    /^([a-z]+(?:\([\d.]+\))?)\s*([<>=!]+)\s*([\d.]+)$/.exec(expression) ?? [];
  const holds = COMPARE[operator];
  if (holds === undefined) throw new Error(`unknown threshold "${expression}"`);
  const values = metric?.values(tags) ?? [];
  // A counter's "rate" is per second, that of a rate its share.
  const isPerSecond = method === "rate" && metric?.kind === "counter";
  const howRate = isPerSecond ? "per_second" : "avg";
  const how = method === "rate" ? howRate : method;
  const value = aggregate(how, values, (performance.now() - startedAt) / 1000);
  // Counters begin at 0; others without a sample have no value to judge.
  const isEmpty = values.length === 0 && method !== "count";
  return { value, isMet: isEmpty || holds(value, Number(limit)) };
}

/** The length of a k6 duration such as `1m30s` or `500ms`. */
export function milliseconds(duration: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  return [...duration.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce(
    (sum, [, n, unit = ""]) => sum + Number(n) * (units[unit] ?? 0),
    0,
  );
}
