// The package's entry point loads an HTTP client: see metrics.ts.
import Gauge from "prom-client/lib/gauge.js";
import addMemory from "prom-client/lib/metrics/osMemoryHeap.js";
import addCpu from "prom-client/lib/metrics/processCpuTotal.js";
import addMaxDescriptors from "prom-client/lib/metrics/processMaxFileDescriptors.js";
import addOpenDescriptors from "prom-client/lib/metrics/processOpenFileDescriptors.js";
import addStartTime from "prom-client/lib/metrics/processStartTime.js";
import type Registry from "prom-client/lib/registry.js";
import type { HostStateName } from "../jobs/host-view.ts";
import type { OrphanSort } from "../jobs/stores/orphan-records.ts";
import type { Depth } from "../jobs/stores/queue-control.ts";
import { STORE_NAMES } from "../jobs/stores/service-stores.ts";
import type { HealthReport } from "./health.ts";

/** The stores, and the objects of local storage: each may have a disk of its own. */
export const DISK_NAMES = [...STORE_NAMES, "storage"] as const;

export type DiskName = (typeof DISK_NAMES)[number];

/** The size of a store's files, and of its disk with the free space, in bytes; `undefined` where it is unknown. */
export interface DiskUse {
  readonly bytes: number | undefined;
  /** Number of the disk: stores with the same number share it. */
  readonly device: number | undefined;
  readonly freeBytes: number | undefined;
  readonly totalBytes: number | undefined;
}

/** A function that is called at each scrape. It must be cheap and must not fail. */
type Read<T> = () => T | Promise<T>;

export interface GaugeReads {
  readonly version: string;
  readonly queueDepth: Read<Depth>;
  /** Without it the metrics lack `fetchbox_dlq_size`. */
  readonly dlqSize?: Read<number>;
  readonly workersBusy: Read<number>;
  /** Uploads and objects in the storage that may belong to no job. */
  readonly orphans: Read<Readonly<Record<OrphanSort, number>>>;
  readonly isPaused: Read<boolean>;
  readonly oldestDueMs: Read<number>;
  readonly disks: Read<ReadonlyMap<DiskName, DiskUse>>;
  /** The time of the last backup, milliseconds since the epoch. */
  readonly lastBackupAt: Read<number>;
}

/** Figures of the workers, which are constructed after the metrics. */
export interface WorkReads {
  readonly workers: number;
  readonly hosts: Read<Readonly<Record<HostStateName, number>>>;
}

/** Registers the gauges of the stores and of the process. */
export function addGauges(registry: Registry, reads: GaugeReads): void {
  addQueue(registry, reads);
  addDisks(registry, reads);
  const gauge = plainGauge(registry);
  gauge("fetchbox_worker_busy_count", "Workers that run a task.", reads.workersBusy);
  gauge(
    "fetchbox_last_backup_timestamp_seconds",
    "Time of the last backup, in seconds since 1970; without one, the time when the stores were created.",
    async () => (await reads.lastBackupAt()) / 1000,
  );
  const build = { name: "fetchbox_build_info", help: "Always 1, with the version as a label." };
  new Gauge({ ...build, labelNames: ["version"], registers: [registry] }).set({ version: reads.version }, 1);
  for (const add of [addStartTime, addCpu, addMemory, addOpenDescriptors, addMaxDescriptors]) add(registry);
}

export function addHealth(registry: Registry, read: () => Pick<HealthReport, "components">): void {
  new Gauge({
    name: "fetchbox_component_up",
    help: "0 if a component is unhealthy, else 1; /operators/health has the reason.",
    labelNames: ["component"],
    registers: [registry],
    collect() {
      for (const [component, { status }] of Object.entries(read().components)) {
        this.set({ component }, status === "unhealthy" ? 0 : 1);
      }
    },
  });
}

export function addWork(registry: Registry, { workers, hosts }: WorkReads): void {
  plainGauge(registry)("fetchbox_worker_count", "Workers.", () => workers);
  const help = "Hosts with a running download or a restriction, by state.";
  addLabelled(registry, { name: "fetchbox_hosts", help, label: "state", read: hosts });
}

function addQueue(registry: Registry, { queueDepth, dlqSize, orphans, isPaused, oldestDueMs }: GaugeReads): void {
  const gauge = plainGauge(registry);
  addLabelled(registry, {
    name: "fetchbox_queue_depth",
    help: "Tasks in each state that is not final.",
    label: "state",
    read: queueDepth,
  });
  if (dlqSize !== undefined) gauge("fetchbox_dlq_size", "Dead letters.", dlqSize);
  gauge("fetchbox_paused", "1 while the queue is paused, else 0.", async () => ((await isPaused()) ? 1 : 0));
  gauge(
    "fetchbox_oldest_due_seconds",
    "How long the longest due task has been due; 0 if no task is due.",
    async () => (await oldestDueMs()) / 1000,
  );
  addLabelled(registry, {
    name: "fetchbox_orphans",
    help: "Open uploads and late objects that the service looks for in the storage.",
    label: "kind",
    read: orphans,
  });
}

function addDisks(registry: Registry, { disks }: GaugeReads): void {
  const gauge = (name: string, help: string, figure: keyof DiskUse) =>
    new Gauge({
      name,
      help,
      labelNames: ["store"],
      registers: [registry],
      async collect() {
        const uses = await disks();
        // The sample of an unknown figure must not stay as it was.
        this.reset();
        for (const [store, use] of uses) {
          if (use[figure] !== undefined) this.set({ store }, use[figure]);
        }
      },
    });
  gauge("fetchbox_store_bytes", "Size of a store's files, with its write-ahead log.", "bytes");
  gauge("fetchbox_disk_free_bytes", "Free space on the disk of a store.", "freeBytes");
}

/** A function that registers a gauge without labels. */
function plainGauge(registry: Registry) {
  return (name: string, help: string, read: Read<number>) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        this.set(await read());
      },
    });
}

interface LabelledGauge {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  /** The value of the gauge for each value of the label. */
  readonly read: Read<Readonly<Record<string, number>>>;
}

function addLabelled(registry: Registry, { name, help, label, read }: LabelledGauge): void {
  new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    async collect() {
      for (const [value, count] of Object.entries(await read())) this.set({ [label]: value }, count);
    },
  });
}
