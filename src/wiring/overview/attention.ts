import { isoTime } from "../../api/http/iso-time.ts";
import { ATTENTION_KINDS, type Attention, OVERVIEW_MAX } from "../../api/openapi/overview-schemas.ts";
import type { QueueReport } from "../../api/openapi/service-schemas.ts";
import { isClosed } from "../../jobs/host-view.ts";
import type { BulkOperation } from "../../jobs/stores/dead-letter-changes.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { HEALTH_COMPONENTS, type HealthReport } from "../../telemetry/health.ts";

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

/** Components that are not healthy; the pause and closed buckets have items of their own. */
function components({ health, queue, componentSince }: AttentionState): Attention[] {
  return HEALTH_COMPONENTS.flatMap((name) => {
    const { status, reason = status } = health.components[name];
    const isShown = (name === "broker" && queue.paused) || (name === "storage" && queue.closed_buckets.length > 0);
    if (status === "healthy" || isShown) return [];
    const severity = status === "unhealthy" ? "critical" : "warning";
    return item("component", severity, `${name}: ${reason}`, { since: componentSince(name), href: "/console/system" });
  });
}

/** The pause, a full disk, or another limit that stops all tasks. */
function limits({ queue: { limited_by: limit, paused }, pausedAt, stillSince }: AttentionState): Attention[] {
  const found: Attention[] = [];
  if (paused) {
    const text = "the queue is paused: no download starts until it is resumed";
    found.push(item("paused", "warning", text, { since: pausedAt, href: "/console" }));
  }
  if (limit === null || limit.cause === "paused") return found;
  if (limit.cause === "disk_full") {
    found.push(item("disk_full", "critical", limit.reason, { since: null, href: "/console/system" }));
  } else if (limit.standstill) {
    found.push(item("standstill", "critical", limit.reason, { since: stillSince, href: "/console/hosts" }));
  }
  return found;
}

function closedBuckets({ buckets }: AttentionState): Attention[] {
  return buckets.map(({ bucket, reason, since }) =>
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
    return item("dead_letters", "warning", text, { since, href: `/console/dead-letters?${query.toString()}` });
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
