import { expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { type Overview, OverviewSchema, RatesSchema } from "../../src/api/openapi/overview-schemas.ts";
import { QUEUE_EXAMPLE } from "../../src/api/openapi/schema-examples.ts";
import type { QueueReport } from "../../src/api/openapi/service-schemas.ts";
import type { DiskName, DiskUse } from "../../src/telemetry/gauges.ts";
import type { HealthReport } from "../../src/telemetry/health.ts";
import { RateHistory } from "../../src/telemetry/rates/rate-history.ts";
import { createOverview, type OverviewDeps } from "../../src/wiring/overview/overview.ts";
import { HostGovernor } from "../../src/worker/hosts/host-governor.ts";
import { HostRules } from "../../src/worker/hosts/host-rules.ts";
import { FakeClock } from "../support/clock.ts";
import { acceptance, claimedJob, complete, discard, newTasks, settle } from "../support/sample-jobs.ts";
import { openTestStores, type TestStores } from "../support/stores.ts";
import { HEALTHY, startTestApi } from "./running-api.ts";

const QUIET: QueueReport = { ...QUEUE_EXAMPLE, hosts: [], limited_by: null };
const NO_HOSTS = { open: 0, slowed: 0, rate: 0, waiting: 0, breaker: 0, probing: 0 };

interface Present {
  queue?: QueueReport;
  health?: HealthReport;
  closed?: ReturnType<OverviewDeps["work"]["buckets"]["closed"]>;
  hosts?: Partial<typeof NO_HOSTS>;
  governor?: HostGovernor;
  disks?: ReadonlyMap<DiskName, DiskUse>;
  full?: readonly DiskName[];
}

/** An overview over real stores, of which a test sets what the other parts report. */
function overviewOf(stores: TestStores, present: Present = {}) {
  const { clock } = stores;
  let bytes = 0;
  const receive = (more: number) => {
    bytes += more;
  };
  const history = new RateHistory(clock, () => bytes);
  const deps = {
    name: "prod-eu1",
    version: "1.2.3",
    maxPending: 1000,
    stores: stores.stores,
    work: {
      rates: { history, ended: { sinceLastMs: 7000 } },
      buckets: { closed: () => present.closed ?? [] },
      hosts: {
        governor: present.governor ?? {
          size: 4,
          counts: () => ({ ...NO_HOSTS, ...present.hosts }),
          closedSinceMs: () => 90_000,
        },
      },
    } as unknown as OverviewDeps["work"],
    queueReport: () => Promise.resolve(present.queue ?? QUIET),
    health: () => present.health ?? HEALTHY,
    disks: () => present.disks ?? new Map(),
    isDiskFull: (store: DiskName) => present.full?.includes(store) === true,
    clock,
  };
  const { read, periodicTask } = createOverview(deps);
  const checked = async (): Promise<Overview> => {
    const overview = await read();
    Value.Assert(OverviewSchema, overview);
    expect(Buffer.byteLength(JSON.stringify(overview))).toBeLessThanOrEqual(16_384);
    return overview;
  };
  return { read: checked, history, receive, periodicTask, present };
}

test("the overview of a quiet service shows its figures and needs no attention", async () => {
  await using stores = openTestStores();
  const { read, history, receive } = overviewOf(stores, { hosts: { waiting: 1, breaker: 2, slowed: 3 } });
  const [one, two] = await claimedJob(stores, 2);
  if (one === undefined || two === undefined) throw new Error("too few were claimed");
  await settle(stores, one, complete);
  await settle(stores, two, discard);
  await stores.now(stores.queue.acceptor.accept(acceptance(1)));
  history.add("completed", 3);
  receive(300);
  const { seconds_left: drain_seconds, oldest_pending_age_ms } = QUIET;
  expect(await read()).toEqual({
    instance: { name: "prod-eu1", version: "1.2.3", started_at: new Date(stores.clock.now()).toISOString() },
    health: "healthy",
    queue: {
      pending: QUIET.pending,
      running: QUIET.running,
      retrying: QUIET.retrying,
      paused: false,
      paused_by: null,
      paused_at: null,
      oldest_pending_age_ms,
      max_pending: 1000,
    },
    workers: QUIET.workers,
    rates: { window_seconds: 60, completed: 3, failed: 0, retried: 0, bytes: 300, accepted: 0 },
    drain_seconds,
    jobs: { queued: 1, in_progress: 0, completed: 0, partial: 1, failed: 0, cancelled: 0 },
    dead_letters: { total: 1, last_hour: 1, by_code: [{ key: "DOWNLOAD_HTTP_404", count: 1 }] },
    hosts: { known: 4, closed: 3, slowed: 3 },
    buckets: [],
    stores: [],
    operations: [],
    attention: [],
  });
  stores.clock.tick(3_600_001);
  expect((await read()).dead_letters).toMatchObject({ total: 1, last_hour: 0 });
});

test("a code with many new dead letters, and a running operation on them, need attention", async () => {
  await using stores = openTestStores();
  const { read } = overviewOf(stores);
  const claimed = await claimedJob(stores, 100);
  const settled = claimed.map((task) => stores.queue.settlements.settle({ claimed: task, verdict: discard }));
  await stores.now(Promise.all(settled));
  const filter = { code: "DOWNLOAD_HTTP_404" };
  const wanted = {
    kind: "replay",
    filter,
    overrides: {},
    ratePerSecond: undefined,
    startedBy: null,
    matched: 100,
  } as const;
  const { id } = await stores.now(stores.queue.deadLetters.begin(wanted));
  const { attention, operations } = await read();
  expect(operations.map(({ operation_id }) => operation_id)).toEqual([id]);
  const from = new Date(stores.clock.now() - 3_600_000).toISOString();
  expect(attention).toEqual([
    {
      kind: "dead_letters",
      severity: "warning",
      text: "DOWNLOAD_HTTP_404: 100 new dead letters in the last hour",
      since: null,
      href: `/console/dead-letters?code=DOWNLOAD_HTTP_404&since=${encodeURIComponent(from)}`,
    },
    {
      kind: "operation",
      severity: "warning",
      text: `replay #${id}: 0 % of 100 dead letters`,
      since: new Date(stores.clock.now()).toISOString(),
      href: "/console/operations",
    },
  ]);
  await stores.now(stores.queue.deadLetters.end(id, "stopped"));
  stores.clock.tick(3_600_001);
  expect(await read()).toMatchObject({ attention: [], operations: [] });
});

const HOST = {
  waiting: 5,
  running: 0,
  limit: 0,
  closed_for_ms: 12_000,
  state: "breaker",
  slowed_ms_ago: null,
} as const;
const hostRow = (host: string) => ({
  ...HOST,
  host,
  max_concurrency: 4,
  rate_per_second: 0,
  code: "DOWNLOAD_TIMEOUT",
});

test("a standstill lasts no longer than a task has been due", async () => {
  await using stores = openTestStores();
  const limited_by = { cause: "storage", reason: "storage", standstill: true } as const;
  const { read } = overviewOf(stores, { queue: { ...QUIET, limited_by, oldest_pending_age_ms: 3000 } });
  const [item] = (await read()).attention;
  expect([item?.kind, item?.since]).toEqual(["standstill", new Date(stores.clock.now() - 3000).toISOString()]);
});

test("closed hosts and buckets, a pause, a standstill and ill components need attention, the critical first", async () => {
  await using stores = openTestStores();
  await stores.now(stores.queue.acceptor.accept(acceptance(newTasks(3))));
  const closed = { bucket: "artifacts", code: "UPLOAD_ACCESS_DENIED", message: "AccessDenied", closedForMs: 1 };
  const { read } = overviewOf(stores, {
    queue: {
      ...QUIET,
      paused: true,
      hosts: [hostRow("cdn.a"), { ...hostRow("idle.test"), waiting: 0 }, { ...hostRow("fine.test"), state: "open" }],
      limited_by: { cause: "storage", reason: "storage: bucket artifacts is closed", standstill: true },
    },
    closed: [{ ...closed, closedSinceMs: 60_000, state: "probing" }],
    health: {
      ...HEALTHY,
      components: {
        ...HEALTHY.components,
        ledger: { status: "unhealthy", reason: "the disk is slow" },
        workers: { status: "degraded", reason: "stuck" },
      },
    },
  });
  const at = (agoMs: number) => new Date(stores.clock.now() - agoMs).toISOString();
  const overview = await read();
  expect(overview.health).toBe("unhealthy");
  expect(overview.buckets).toEqual([
    {
      bucket: "artifacts",
      state: "probing",
      reason: "UPLOAD_ACCESS_DENIED: AccessDenied",
      since: at(60_000),
      waiting: 3,
    },
  ]);
  const paused = "the queue is paused: no download starts until it is resumed";
  const host = "cdn.a: closed for 12 s, its breaker is open (DOWNLOAD_TIMEOUT)";
  expect(overview.attention.map(({ kind, severity, text, since }) => [kind, severity, text, since])).toEqual([
    ["component", "critical", "ledger: the disk is slow", at(0)],
    ["bucket", "critical", "artifacts: UPLOAD_ACCESS_DENIED: AccessDenied", at(60_000)],
    ["standstill", "critical", "storage: bucket artifacts is closed", at(7000)],
    ["component", "warning", "workers: stuck", at(0)],
    ["paused", "warning", paused, null],
    ["host", "warning", host, at(90_000)],
  ]);
});

test("a host that asked for a pause needs attention since it asked", async () => {
  await using stores = openTestStores();
  const { clock } = stores;
  const rules = new HostRules({ maxConcurrency: 4, ratePerSecond: 0, breakerFailures: 3 });
  const governor = new HostGovernor({ rules, clock, onFree: () => {} });
  const closedAt = new Date(clock.now()).toISOString();
  governor.throttled("slow.test", 60_000, "DOWNLOAD_HTTP_429");
  clock.tick(20_000);
  const queue = { ...QUIET, hosts: [{ ...hostRow("slow.test"), state: "waiting" as const }] };
  const [item] = (await overviewOf(stores, { queue, governor }).read()).attention;
  expect([item?.kind, item?.since]).toEqual(["host", closedAt]);
});

test("the overview knows since when a component has been ill, though nobody asked", async () => {
  await using stores = openTestStores();
  const ill = { ...HEALTHY, components: { ...HEALTHY.components, dlq: { status: "unhealthy", reason: "x" } as const } };
  const { read, periodicTask, present } = overviewOf(stores, { health: ill });
  const since = new Date(stores.clock.now()).toISOString();
  const { signal } = new AbortController();
  await periodicTask.run(signal);
  stores.clock.tick(60_000);
  expect((await read()).attention).toEqual([
    { kind: "component", severity: "critical", text: "dlq: x", since, href: "/console/system" },
  ]);
  present.health = HEALTHY;
  await periodicTask.run(signal);
  present.health = ill;
  expect((await read()).attention[0]?.since).toBe(new Date(stores.clock.now()).toISOString());
});

/** The free space below which the alert `DiskFills` warns. */
async function alertBytes(): Promise<number> {
  const rules = await Bun.file(`${import.meta.dir}/../../deploy/monitoring/fetchbox.rules.yml`).text();
  const [, bytes] = /fetchbox_disk_free_bytes < ([\de]+)/.exec(rules) ?? [];
  return Number(bytes);
}

test("the overview has the latest sizes of the stores and their disks, and marks a disk that is low or full", async () => {
  await using stores = openTestStores();
  const enough = await alertBytes();
  const use = { bytes: 700, device: undefined, freeBytes: enough, totalBytes: 9e9 };
  const { read, periodicTask, present } = overviewOf(stores, {
    full: ["dlq"],
    disks: new Map([
      ["queue", use],
      ["ledger", { ...use, freeBytes: enough - 1 }],
      ["dlq", use],
      ["storage", { bytes: undefined, device: undefined, freeBytes: undefined, totalBytes: undefined }],
    ]),
  });
  const { signal } = new AbortController();
  await periodicTask.run(signal);
  const row = { bytes: 700, disk_free_bytes: enough, disk_total_bytes: 9e9 };
  const unknown = { bytes: null, disk_free_bytes: null, disk_total_bytes: null };
  expect((await read()).stores).toEqual([
    { store: "queue", ...row, disk: "ok" },
    { store: "ledger", ...row, disk_free_bytes: enough - 1, disk: "low" },
    { store: "dlq", ...row, disk: "full" },
    { store: "storage", ...unknown, disk: null },
  ]);
  // A backend without files has no rows.
  present.disks = new Map();
  await periodicTask.run(signal);
  expect((await read()).stores).toEqual([]);
});

const use = (device: number, freeBytes: number) => ({ bytes: 700, device, freeBytes, totalBytes: 9e9 });

test("a full disk is one problem with the names of its stores, and no store on it looks better than full", async () => {
  await using stores = openTestStores();
  const reason = `SQLITE_FULL: ${"x".repeat(300)} the disk is full`;
  const full = { status: "unhealthy", reason } as const;
  const closed = { bucket: "artifacts", code: "UPLOAD_DISK_FULL", message: reason, closedForMs: 1 };
  const { closedForMs: closed_for_ms, ...bucket } = closed;
  const { read, periodicTask } = overviewOf(stores, {
    full: ["queue", "dlq", "storage"],
    disks: new Map([
      ["queue", use(1, 5e6)],
      ["ledger", use(1, 5e6)],
      ["dlq", use(1, 5e6)],
      ["storage", use(2, 5e6)],
    ]),
    health: { ...HEALTHY, components: { ...HEALTHY.components, queue: full, dlq: full, storage: full } },
    queue: {
      ...QUIET,
      closed_buckets: [{ ...bucket, closed_for_ms }],
      limited_by: { cause: "disk_full", reason, standstill: true },
    },
    closed: [{ ...closed, closedSinceMs: 60_000, state: "closed" }],
  });
  await periodicTask.run(new AbortController().signal);
  const { attention, stores: rows } = await read();
  expect(rows.map(({ disk }) => disk)).toEqual(["full", "full", "full", "full"]);
  const found = { kind: "disk_full", severity: "critical", href: "/console/system" };
  const since = new Date(stores.clock.now()).toISOString();
  expect(attention).toEqual([
    { ...found, text: "the disk of queue, ledger, dlq is full: make room on it, or enlarge it", since } as const,
    { ...found, text: "the disk of storage is full: make room on it, or enlarge it", since } as const,
  ] as Overview["attention"]);
});

test("a disk without free bytes is full before a write fails, and a low one is a warning, each once", async () => {
  await using stores = openTestStores();
  const { read, periodicTask } = overviewOf(stores, {
    disks: new Map([
      ["queue", use(1, 0)],
      ["ledger", use(2, 1e9)],
      ["dlq", use(2, 1e9)],
      ["storage", use(3, 3e9)],
    ]),
  });
  await periodicTask.run(new AbortController().signal);
  const { attention, stores: rows } = await read();
  expect(rows.map(({ disk }) => disk)).toEqual(["full", "low", "low", "ok"]);
  expect(attention.map(({ kind, severity, text }) => [kind, severity, text])).toEqual([
    ["disk_full", "critical", "the disk of queue is full: make room on it, or enlarge it"],
    ["disk_low", "warning", "the disk of ledger, dlq is low: it has less than 2 GB free"],
  ]);
});

test("the overview stays below 16 KiB, whatever is wrong", async () => {
  await using stores = openTestStores();
  const long = "語".repeat(10_000);
  const limited_by = { cause: "disk_full", reason: long, standstill: true } as const;
  const component = { status: "unhealthy", reason: long } as const;
  const components = Object.fromEntries(Object.keys(HEALTHY.components).map((name) => [name, component]));
  const hosts = Array.from({ length: 20 }, (_, at) => hostRow(`${at}.${"a".repeat(250)}`));
  const closed = Array.from({ length: 30 }, (_, at) => ({
    bucket: `b${at}-${"x".repeat(58)}`,
    code: "UPLOAD_UNAVAILABLE",
    message: long,
    closedForMs: 0,
    closedSinceMs: 0,
    state: "closed" as const,
  }));
  const { read } = overviewOf(stores, {
    queue: { ...QUIET, paused: true, hosts, limited_by, closed_buckets: [] },
    closed,
    health: { ...HEALTHY, components: components as HealthReport["components"] },
  });
  for (let i = 0; i < 10; i++) {
    const filter = { host: "a".repeat(261), tenant: "t".repeat(64), jobType: "j".repeat(64), since: 0, until: 1 };
    const begun = {
      kind: "replay",
      filter,
      overrides: {},
      ratePerSecond: 0.001,
      startedBy: null,
      matched: 1e9,
    } as const;
    await stores.now(stores.queue.deadLetters.begin(begun));
  }
  const { attention, buckets, operations } = await read();
  expect([buckets.length, operations.length]).toEqual([5, 5]);
  expect(attention.every(({ text }) => text.length <= 200)).toBe(true);
  // The critical ones stay.
  expect(attention.length).toBeWithin(12, 21);
  expect(attention.filter(({ severity }) => severity === "critical").length).toBe(12);
});

test("the rates of a window come with their times; another window is refused", async () => {
  const clock = new FakeClock();
  const rateHistory = new RateHistory(clock, () => 0);
  rateHistory.add("completed", 2);
  rateHistory.sample({ pending: 1, running: 0, retrying: 0, busy: 0, dead_letters: 0 });
  clock.tick(61_000);
  await using api = await startTestApi({ rateHistory });
  const rates = await api.get("Rates", "/operators/rates?window=24h");
  Value.Assert(RatesSchema, rates);
  expect([rates.step_seconds, rates.from, rates.to]).toEqual([
    60,
    "2026-11-22T12:01:00.000Z",
    "2026-11-23T12:01:00.000Z",
  ]);
  expect(rates.series.completed?.slice(-2)).toEqual([null, 2]);
  expect((await api.get("Rates", "/operators/rates")).step_seconds).toBe(10);
  expect((await api.get("Rates", "/operators/rates?window=15m")).step_seconds).toBe(5);
  await api.error("/operators/rates?window=2h", 400);
});
