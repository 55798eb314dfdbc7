/**
 * Runs a k6 script where k6 is not installed: `bun scripts/load/k6.ts [-e NAME=VALUE…] load/smoke.ts`. It supplies what
 * the scripts in `load/` use of k6: scenarios, thresholds, checks, metrics and asynchronous requests. All virtual users
 * share the modules' state, unlike in k6. Exits with 99 if a threshold is not met, as k6 does.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { EXECUTORS, type Scenario } from "./executors.ts";
import { supplyModules } from "./k6-modules.ts";
import { aggregate, type Metric, Metrics } from "./metrics.ts";
import { judge, type Threshold, type Thresholds, type Verdict } from "./thresholds.ts";

const THRESHOLDS_FAILED = 99;
const ABORT_EVERY_MS = 1000;

interface Options {
  readonly scenarios: Readonly<Record<string, Scenario>>;
  readonly thresholds?: Thresholds;
}

type Script = { readonly options: Options } & Readonly<Record<string, (data: unknown) => Promise<void>>>;

const { values, positionals } = parseArgs({
  options: { env: { type: "string", short: "e", multiple: true, default: [] } },
  allowPositionals: true,
});
const [file] = positionals;
if (file === undefined) {
  console.error("usage: bun scripts/load/k6.ts [-e NAME=VALUE] SCRIPT");
  process.exit(2);
}
const own = Object.fromEntries(values.env.map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]));
(globalThis as unknown as { __ENV: Record<string, string | undefined> }).__ENV = { ...process.env, ...own };
const metrics = new Metrics();
supplyModules(metrics);
const script = (await import(resolve(file))) as Script;
process.exit(await run(script));

async function run({ options, ...script }: Script): Promise<number> {
  const stop = new AbortController();
  const data = await script["setup"]?.(undefined);
  const aborting = thatAbort(options.thresholds ?? {});
  const watch = setInterval(() => {
    if (mustAbort(aborting)) stop.abort();
  }, ABORT_EVERY_MS);
  await Promise.all(
    Object.entries(options.scenarios).map(async ([name, scenario]) => {
      const executor = EXECUTORS[scenario.executor];
      const iteration = script[scenario.exec ?? "default"];
      if (executor === undefined || iteration === undefined) throw new Error(`scenario ${name} cannot run here`);
      await executor({ name, scenario, call: () => iteration(data), metrics, signal: stop.signal });
    }),
  );
  clearInterval(watch);
  await script["teardown"]?.(data);
  const verdicts = judge(options.thresholds ?? {}, metrics);
  print(verdicts);
  return verdicts.every(({ isMet }) => isMet) ? 0 : THRESHOLDS_FAILED;
}

/** The thresholds that end the run once they are not met. */
function thatAbort(thresholds: Thresholds): Thresholds {
  const aborts = (threshold: Threshold) => typeof threshold === "object" && threshold.abortOnFail === true;
  return Object.fromEntries(Object.entries(thresholds).map(([name, list]) => [name, list.filter(aborts)]));
}

function mustAbort(thresholds: Thresholds): boolean {
  const age = performance.now() - metrics.startedAt;
  return judge(thresholds, metrics).some(({ isMet, abortsAfterMs = Infinity }) => !isMet && age > abortsAfterMs);
}

function print(verdicts: readonly Verdict[]): void {
  for (const metric of metrics.all) console.log(summaryOf(metric));
  for (const { text, value, isMet } of verdicts) console.log(`${isMet ? "✓" : "✗"} ${text} (${value.toPrecision(4)})`);
}

function summaryOf(metric: Metric): string {
  const values = metric.values();
  const of = (method: string) => aggregate(method, values, (performance.now() - metrics.startedAt) / 1000);
  const number = (method: string) => `${method}=${of(method).toFixed(2)}`;
  if (metric.name === "checks") return failedChecks(metric);
  if (metric.kind === "trend")
    return `${metric.name}: ${["avg", "med", "p(95)", "p(99)", "max"].map(number).join(" ")}`;
  if (metric.kind === "rate") return `${metric.name}: ${(of("avg") * 100).toFixed(2)} % of ${values.length}`;
  return `${metric.name}: ${of("count")} (${of("per_second").toFixed(1)}/s)`;
}

/** The checks that failed, with the number of times. */
function failedChecks(metric: Metric): string {
  const failed = [...metric.byTag("check")].filter(([, results]) => results.includes(0));
  const lines = failed.map(
    ([name, results]) => `  ✗ ${name}: ${results.filter((result) => result === 0).length} of ${results.length}`,
  );
  const all = metric.values();
  return [`checks: ${all.filter((result) => result === 1).length} of ${all.length}`, ...lines].join("\n");
}
