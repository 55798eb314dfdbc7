/**
 * Writes the tables of docs/reference/metrics.md from the metrics that the service registers:
 * `bun scripts/metrics-reference.ts`. A test fails while the page differs from the code.
 */
import { join } from "node:path";
import { PRUNED } from "../src/maintenance/retention.ts";
import type { Counter } from "../src/sqlite/counters.ts";
import type { ComponentHealth, HealthReport } from "../src/telemetry/health.ts";
import { createMetrics, type Metrics, type OrphanSort, SIGN_IN_FAILURES } from "../src/telemetry/metrics.ts";

export const METRICS_PAGE = join(import.meta.dir, "../docs/reference/metrics.md");
const START = "<!-- scripts/metrics-reference.ts writes everything from here -->\n";
const END = "<!-- to here -->\n";

/** The types require every member, so that a new one is missing here before it is missing on the page. */
const ORPHANS: Readonly<Record<OrphanSort, number>> = { upload: 0, late_upload: 0, late_object: 0 };
const COUNTERS: Readonly<Record<Counter, true>> = {
  jobs: true,
  lanes: true,
  depth: true,
  host_waits: true,
  ledger_jobs: true,
  dead_letters: true,
};

const UP: ComponentHealth = { status: "healthy" };
const HEALTHY: HealthReport["components"] = {
  api: UP,
  queue: UP,
  ledger: UP,
  dlq: UP,
  broker: UP,
  workers: UP,
  storage: UP,
};

/** Sets of values that the configuration or another page lists; the others are listed value by value. */
const DESCRIBED: Readonly<Record<string, string>> = {
  job_type: "a name in `[handlers]`, or `default`",
  pool: "a name in `[proxies]`",
  code: "a [failure code](failures.md)",
  route: "a path of the [API](api.md#endpoints) as it is listed there, or `unmatched`",
  method: "an HTTP method, or `OTHER`",
  status: "an HTTP status",
  version: "the version of the executable",
};

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  /** The values of each label. */
  readonly labels: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The tables as the page has to hold them, from the code of today. */
export async function metricsTables(): Promise<string> {
  const metrics = await registeredMetrics();
  const histograms = metrics.filter(({ type }) => type === "histogram");
  const lines = [
    "| name | type | labels | meaning |",
    "|---|---|---|---|",
    ...metrics.map(({ name, type, help, labels }) => `| \`${name}\` | ${type} | ${labelsCell(labels)} | ${help} |`),
    "",
    "The upper bounds of the histograms' buckets, in seconds, beside `+Inf`:",
    "",
    "| name | bounds |",
    "|---|---|",
    ...histograms.map(({ name, labels }) => `| \`${name}\` | ${boundsCell(labels.get("le"))} |`),
  ];
  return `\n${lines.join("\n")}\n\n`;
}

/** The page with other tables. */
export function withTables(page: string, tables: string): string {
  const [start, end] = [page.indexOf(START), page.indexOf(END)];
  if (start === -1 || end < start) throw new Error(`the page has no lines ${START.trim()} and ${END.trim()}`);
  return page.slice(0, start + START.length) + tables + page.slice(end);
}

/** Every metric of the service with the values of its labels, by name. */
async function registeredMetrics(): Promise<Metric[]> {
  const metrics = createMetrics({
    version: "0",
    queueDepth: () => Promise.resolve({ pending: 0, running: 0, retrying: 0 }),
    dlqSize: () => Promise.resolve(0),
    workersBusy: () => 0,
    orphans: () => Promise.resolve(ORPHANS),
  });
  recordEverything(metrics);
  const text = await metrics.scrape();
  const found = text
    .split("\n\n")
    .filter((block) => block.trim() !== "")
    .map(parseMetric);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Records something in every metric that has no sample by itself, and each value of a closed set of labels. */
function recordEverything(metrics: Metrics): void {
  metrics.jobAccepted("default");
  metrics.taskCompleted("default");
  metrics.taskFailed("default", "DOWNLOAD_TIMEOUT");
  metrics.taskRetried("DOWNLOAD_TIMEOUT");
  metrics.proxyFailed("pool");
  metrics.request("/jobs", "POST", 202, 0);
  for (const what of PRUNED) metrics.pruned(what, 0);
  for (const counter of Object.keys(COUNTERS)) metrics.counterRebuilt(counter);
  for (const reason of SIGN_IN_FAILURES) metrics.signInFailed(reason);
  for (const kind of ["upload", "late_upload", "late_object"] as const satisfies readonly OrphanSort[]) {
    metrics.orphanRemoved(kind);
    metrics.orphanFailed(kind);
  }
  metrics.serveHealth(() => ({ components: HEALTHY }));
}

/** One metric of the text format: its help, its type and its samples. */
function parseMetric(block: string): Metric {
  const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/m.exec(block) ?? [];
  const [, type = ""] = /^# TYPE \S+ (\S+)$/m.exec(block) ?? [];
  const samples = block.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  if (name === "" || type === "") throw new Error(`not a metric:\n${block}`);
  if (samples.length === 0) throw new Error(`${name} has no sample: record one in scripts/metrics-reference.ts`);
  const labels = new Map<string, Set<string>>();
  for (const [, label = "", value = ""] of samples.join("\n").matchAll(/([a-z_]+)="([^"]*)"/g)) {
    labels.set(label, (labels.get(label) ?? new Set()).add(value));
  }
  return { name, type, help, labels };
}

function labelsCell(labels: Metric["labels"]): string {
  return [...labels]
    .filter(([label]) => label !== "le")
    .map(
      ([label, values]) => `\`${label}\`: ${DESCRIBED[label] ?? [...values].map((value) => `\`${value}\``).join(", ")}`,
    )
    .join("; ");
}

function boundsCell(bounds: ReadonlySet<string> = new Set()): string {
  return [...bounds].filter((bound) => bound !== "+Inf").join(", ");
}

if (import.meta.main) {
  const page = Bun.file(METRICS_PAGE);
  await Bun.write(page, withTables(await page.text(), await metricsTables()));
}
