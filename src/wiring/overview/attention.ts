import { isoTime } from "../../api/http/iso-time.ts";
import { ATTENTION_KINDS, type Attention, OVERVIEW_MAX } from "../../api/openapi/overview-schemas.ts";
import type { QueueReport } from "../../api/openapi/service-schemas.ts";
import { isClosed } from "../../jobs/host-view.ts";
import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { DISK_NAMES, type DiskName } from "../../telemetry/gauges.ts";
import { HEALTH_COMPONENTS, type HealthReport } from "../../telemetry/health.ts";
import type { ScarceDisk } from "./disk-states.ts";

/** The length of the texts, so that the overview stays small. */
const TEXT_MAX = 200;

/** A failure code with many new dead letters. */
export interface GrowingCode {
  readonly code: string;
  /** New dead letters of the last hour, as a text: counts stop at a limit. */
  readonly added: string;
  /** Start of the hour, milliseconds since the epoch. */
  readonly since: number;
}

/** The present state, as far as it may need attention. Times are milliseconds since the epoch. */
interface AttentionState {
  readonly health: HealthReport;
  /** Since when a component has not been healthy, if that is known. */
  readonly componentSince: (name: string) => number | undefined;
  readonly disks: readonly ScarceDisk[];
  /** True if a write to the store has failed because its disk is full. */
  readonly isDiskFull: (store: DiskName) => boolean;
  readonly queue: QueueReport;
  readonly pausedAt: string | null;
  /** Since when no task has ended although one waits, if that is known. */
  readonly stillSince: number | undefined;
  /** Since when a host has been closed, if it is and the time is known. */
  readonly hostSince: (host: string) => number | undefined;
  readonly buckets: readonly { readonly bucket: string; readonly reason: string; readonly since: string }[];
  readonly codes: readonly GrowingCode[];
  readonly operations: readonly BulkOperation[];
}

/** The states that an operator should know: the critical ones first, then by kind. */
export function attentionOf(state: AttentionState): Attention[] {
  return [
    ...components(state),
    ...scarceDisks(state),
    ...limits(state),
    ...closedBuckets(state),
    ...closedHosts(state),
    ...growingCodes(state),
    ...runningOperations(state),
  ]
    .toSorted((a, b) => urgency(a) - urgency(b))
    .slice(0, OVERVIEW_MAX.attention);
}

function urgency({ severity, kind }: Attention): number {
  return (severity === "critical" ? 0 : ATTENTION_KINDS.length) + ATTENTION_KINDS.indexOf(kind);
}

function item(
  kind: Attention["kind"],
  severity: Attention["severity"],
  text: string,
  { since, href }: { readonly since: number | string | null | undefined; readonly href: string },
): Attention {
  const at = typeof since === "number" ? isoTime(since) : (since ?? null);
  return { kind, severity, text: shortened(text), since: at, href };
}

/** A text of at most `TEXT_MAX` characters. */
export function shortened(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`;
}

/** Components that are not healthy; the pause, closed buckets and full disks have items of their own. */
function components(state: AttentionState): Attention[] {
  const { health, queue, componentSince } = state;
  return HEALTH_COMPONENTS.flatMap((name) => {
    const { status, reason = status } = health.components[name];
    const isShown =
      (name === "broker" && queue.paused) ||
      (name === "storage" && queue.closed_buckets.length > 0) ||
      DISK_NAMES.some((store) => store === name && isOfFullDisk(state, store));
    if (status === "healthy" || isShown) return [];
    const severity = status === "unhealthy" ? "critical" : "warning";
    return item("component", severity, `${name}: ${reason}`, { since: componentSince(name), href: "/console/system" });
  });
}

/** One item for each disk that is low or full. */
function scarceDisks({ disks, componentSince }: AttentionState): Attention[] {
  const href = "/console/system";
  return disks.map(({ state, stores }) => {
    const disk = `the disk of ${stores.join(", ")}`;
    if (state === "low") {
      return item("disk_low", "warning", `${disk} is low: it has less than 2 GB free`, { since: null, href });
    }
    const times = stores.map(componentSince).filter((time) => time !== undefined);
    const since = times.length === 0 ? null : Math.min(...times);
    return item("disk_full", "critical", `${disk} is full: make room on it, or enlarge it`, { since, href });
  });
}

/** True if the store cannot be written for lack of space, and an item shows its disk. */
function isOfFullDisk({ disks, isDiskFull }: AttentionState, store: DiskName): boolean {
  return isDiskFull(store) && disks.some(({ state, stores }) => state === "full" && stores.includes(store));
}

/** The pause, a full disk without an item of its own, or another limit that stops all tasks. */
function limits(state: AttentionState): Attention[] {
  const { queue, pausedAt, stillSince } = state;
  const { limited_by: limit, paused } = queue;
  const found: Attention[] = [];
  if (paused) {
    const text = "the queue is paused: no download starts until it is resumed";
    found.push(item("paused", "warning", text, { since: pausedAt, href: "/console" }));
  }
  if (limit === null || limit.cause === "paused") return found;
  if (limit.cause === "disk_full") {
    if (isOfFullDisk(state, "queue") || isOfFullDisk(state, "storage")) return found;
    found.push(item("disk_full", "critical", limit.reason, { since: null, href: "/console/system" }));
  } else if (limit.standstill) {
    found.push(item("standstill", "critical", limit.reason, { since: stillSince, href: "/console/hosts" }));
  }
  return found;
}

function closedBuckets(state: AttentionState): Attention[] {
  const codes = new Map(state.queue.closed_buckets.map(({ bucket, code }) => [bucket, code]));
  const isShown = (bucket: string) => codes.get(bucket) === "UPLOAD_DISK_FULL" && isOfFullDisk(state, "storage");
  return state.buckets
    .filter(({ bucket }) => !isShown(bucket))
    .map(({ bucket, reason, since }) =>
      item("bucket", "critical", `${bucket}: ${reason}`, { since, href: "/console/system" }),
    );
}

/** Closed hosts that tasks wait for, the busiest first. */
function closedHosts({ queue, hostSince }: AttentionState): Attention[] {
  return queue.hosts.flatMap(({ host, state, closed_for_ms, code, waiting }) => {
    if (waiting === 0 || !isClosed(state)) return [];
    const why = { waiting: "it asked for a pause", breaker: "its breaker is open", probing: "a download tests it" };
    const time = closed_for_ms > 0 ? `closed for ${roughDuration(closed_for_ms)}, ` : "";
    const text = `${host}: ${time}${why[state]}${code === null ? "" : ` (${code})`}`;
    const href = `/console/hosts?q=${encodeURIComponent(host)}`;
    return item("host", "warning", text, { since: hostSince(host), href });
  });
}

function growingCodes({ codes }: AttentionState): Attention[] {
  return codes.map(({ code, added, since }) => {
    const query = new URLSearchParams({ code, since: isoTime(since) });
    const text = `${code}: ${added} new dead letters in the last hour`;
    // The start of the hour is no start of the problem.
    return item("dead_letters", "warning", text, { since: null, href: `/console/dead-letters?${query.toString()}` });
  });
}

function runningOperations({ operations }: AttentionState): Attention[] {
  return operations.map(({ id, kind, matched, processed, startedAt }) => {
    const name = kind === "replay" ? "replay" : "discard";
    const percent = matched === 0 ? 100 : Math.min(100, Math.floor((processed / matched) * 100));
    return item("operation", "warning", `${name} #${id}: ${percent} % of ${matched} dead letters`, {
      since: startedAt,
      href: "/console/operations",
    });
  });
}
