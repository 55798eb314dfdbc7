/**
 * Writes the tables of docs/reference/metrics.md from the metrics that the service registers:
 * `bun scripts/metrics-reference.ts`. A test fails while the page differs from the code.
 */
import { join } from "node:path";
import { HOST_STATES, type HostStateName } from "../src/jobs/host-view.ts";
import { PRUNED } from "../src/maintenance/retention.ts";
import { COUNTERS } from "../src/sqlite/counters.ts";
import type { DiskName, DiskUse } from "../src/telemetry/gauges.ts";
import type { ComponentHealth, HealthReport } from "../src/telemetry/health.ts";
import { createMetrics, type Metrics } from "../src/telemetry/metrics.ts";

export const METRICS_PAGE = join(import.meta.dir, "../docs/reference/metrics.md");
const START = "<!-- scripts/metrics-reference.ts writes everything from here -->\n";
const END = "<!-- to here -->\n";

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

const USE: DiskUse = { bytes: 0, device: 0, freeBytes: 0, totalBytes: 0 };
const DISKS = new Map<DiskName, DiskUse>([
  ["queue", USE],
  ["ledger", USE],
  ["dlq", USE],
  ["storage", { ...USE, bytes: undefined }],
]);

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
    queueDepth: () => ({ pending: 0, running: 0, retrying: 0 }),
    dlqSize: () => 0,
    workersBusy: () => 0,
    orphans: () => ({ upload: 0, late_upload: 0, late_object: 0 }),
    isPaused: () => false,
    oldestDueMs: () => 0,
    disks: async () => DISKS,
    lastBackupAt: async () => 0,
    labels: { jobTypes: ["default"], pools: ["pool"], pruned: PRUNED, counters: COUNTERS },
  });
  registerLate(metrics);
  const text = await metrics.scrape();
  const found = text
    .split("\n\n")
    .filter((block) => block.trim() !== "")
    .map(parseMetric);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Registers the metrics that the service registers later. */
function registerLate(metrics: Metrics): void {
  metrics.serveHealth(() => ({ components: HEALTHY }));
  const hosts = Object.fromEntries(HOST_STATES.map((state) => [state, 0])) as Record<HostStateName, number>;
  metrics.serveWork({ workers: 0, hosts: () => hosts });
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
