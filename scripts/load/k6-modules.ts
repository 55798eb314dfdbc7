import { plugin } from "bun";
import { iterations } from "./iteration.ts";
import type { Kind, Metrics, Tags } from "./metrics.ts";

interface Params {
  readonly headers?: Readonly<Record<string, string>>;
  readonly tags?: Tags;
  readonly timeout?: string | number;
  readonly compression?: string;
  readonly responseCallback?: (status: number) => boolean;
}

const isFine = (status: number) => status >= 200 && status < 400;

/** Supplies the modules of k6 that the scripts import: k6, k6/http, k6/metrics, k6/execution and k6/timers. */
export function supplyModules(metrics: Metrics): void {
  const modules: Readonly<Record<string, Record<string, unknown>>> = {
    k6: { check: check(metrics) },
    "k6/http": { default: http(metrics), ...http(metrics) },
    "k6/metrics": metricClasses(metrics),
    "k6/execution": { default: execution, ...execution },
    "k6/timers": { setTimeout, clearTimeout, setInterval, clearInterval },
  };
  plugin({
    name: "k6",
    setup(build) {
      for (const [name, exports] of Object.entries(modules)) build.module(name, () => ({ exports, loader: "object" }));
    },
  });
}

/** https://grafana.com/docs/k6/latest/javascript-api/k6/check/ */
function check(metrics: Metrics) {
  return <T>(value: T, checks: Readonly<Record<string, (value: T) => boolean>>): boolean => {
    const results = Object.entries(checks).map(([name, holds]) => {
      const isTrue = holds(value);
      metrics.of("checks", "rate").add(isTrue, { check: name });
      return isTrue;
    });
    return results.every(Boolean);
  };
}

/** https://grafana.com/docs/k6/latest/javascript-api/k6-http/ */
function http(metrics: Metrics) {
  const asyncRequest = async (method: string, url: string, body: string | null, params: Params = {}) => {
    const isFineHere = params.responseCallback ?? isFine;
    const startedAt = takeStart();
    const answer = await send(method, url, body, params);
    const duration = performance.now() - startedAt;
    const tags = { ...params.tags, method, status: String(answer.status) };
    const isExpected = isFineHere(answer.status);
    metrics.of("http_reqs", "counter").add(1, tags);
    metrics.of("http_req_duration", "trend").add(duration, tags);
    metrics.of("http_req_failed", "rate").add(!isExpected, tags);
    return { ...answer, url, timings: { duration }, json: (selector?: string) => jsonOf(answer.body, selector) };
  };
  const expectedStatuses =
    (...statuses: readonly number[]) =>
    (status: number) =>
      statuses.includes(status);
  return { asyncRequest, expectedStatuses };
}

/** The start of the request: the first one of an iteration counts from its schedule. */
function takeStart(): number {
  const iteration = iterations.getStore();
  const scheduledAt = iteration?.scheduledAt;
  if (iteration !== undefined) iteration.scheduledAt = undefined;
  return scheduledAt ?? performance.now();
}

interface Sent {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: string;
}

/** Like k6, it does not fail: an error has status 0. */
async function send(method: string, url: string, body: string | null, params: Params): Promise<Sent> {
  const { timeout = "60s", compression } = params;
  const ms = typeof timeout === "number" ? timeout : Number.parseFloat(timeout) * 1000;
  const isGzip = compression === "gzip" && body !== null;
  try {
    const response = await fetch(url, {
      method,
      headers: { ...params.headers, ...(isGzip && { "content-encoding": "gzip" }) },
      body: isGzip ? Bun.gzipSync(body) : body,
      signal: AbortSignal.timeout(ms),
      redirect: "manual",
    });
    const headers = Object.fromEntries([...response.headers].map(([name, value]) => [canonical(name), value]));
    return { status: response.status, body: await response.text(), headers, error: "" };
  } catch (error) {
    return { status: 0, body: "", headers: {}, error: (error as Error).message };
  }
}

/** `retry-after` as Go spells it: `Retry-After`. */
function canonical(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

function jsonOf(body: string, selector?: string): unknown {
  const value = JSON.parse(body) as Record<string, unknown>;
  return selector === undefined ? value : value[selector];
}

/** https://grafana.com/docs/k6/latest/javascript-api/k6-metrics/ */
function metricClasses(metrics: Metrics) {
  const classOf = (kind: Kind) =>
    class {
      readonly name: string;
      constructor(name: string) {
        this.name = name;
        metrics.of(name, kind);
      }
      add(value: number | boolean, tags: Tags = {}): void {
        metrics.of(this.name, kind).add(value, tags);
      }
    };
  return { Counter: classOf("counter"), Gauge: classOf("gauge"), Rate: classOf("rate"), Trend: classOf("trend") };
}

/** https://grafana.com/docs/k6/latest/javascript-api/k6-execution/ */
const execution = {
  scenario: {
    get name() {
      return iterations.getStore()?.scenario ?? "";
    },
    get iterationInTest() {
      return iterations.getStore()?.inTest ?? 0;
    },
  },
  vu: {
    get idInTest() {
      return iterations.getStore()?.vu ?? 0;
    },
    get iterationInInstance() {
      return iterations.getStore()?.inInstance ?? 0;
    },
  },
};
