import type { QueueReport } from "../../api/openapi/service-schemas.ts";
import { systemClock } from "../../std/clock.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { clockText } from "../terminal/moments.ts";
import { table } from "../terminal/table.ts";
import { countText } from "../terminal/units.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

type HostRow = QueueReport["hosts"][number];

/** A task that is due for longer than this gets a line. */
const OLD_MS = 3_600_000;
const GAP = " ".repeat(8);

const COLUMNS = [
  { title: "HOST", isElastic: true },
  { title: "WAITING", isNumber: true },
  { title: "RUNNING", isNumber: true },
  { title: "LIMIT", isNumber: true },
  { title: "STATE", isText: true, isElastic: true, expendable: 1 },
] as const;

/** Prints the pending and running tasks, the reason why no more run, and the state of each busy host. */
export async function showQueue(flags: RemoteFlags, remote: Remote): Promise<void> {
  answer(remote, flags, await remote.client.get<QueueReport>("/operators/queue"), (report) =>
    queueText(report, remote.width),
  );
}

export async function switchQueue(to: "pause" | "resume", flags: RemoteFlags, remote: Remote): Promise<void> {
  const report = await remote.client.post<QueueReport>(`/operators/queue/${to}`);
  const where = `at ${remote.client.server}\n`;
  answer(remote, flags, report, () => (report.paused ? `downloads paused ${where}` : `downloads resumed ${where}`));
}

function queueText(report: QueueReport, width: number | undefined): string {
  const lines = summaryLines(report, width);
  const { hosts } = report;
  if (hosts.length === 0) return `${lines.join("\n")}\n`;
  return `${lines.join("\n")}\n${table(COLUMNS, hosts.map(rowOf), width)}`;
}

/** The depth and the rates of the queue, its limit, and the age of its oldest task. */
export function summaryLines(report: QueueReport, width: number | undefined): string[] {
  const { pending, running, retrying, oldest_pending_age_ms: age } = report;
  const depth = `${countText(pending)} pending · ${countText(running)} running · ${countText(retrying)} retrying`;
  const lines = [...withRates(depth, ratesText(report), width), ...limitLines(report)];
  if (age > OLD_MS) lines.push(`the oldest task has been due for ${roughDuration(age)}`);
  return lines;
}

/** Depth and rates on one line, or on two lines of a narrow terminal. */
function withRates(depth: string, rates: string, width = Number.POSITIVE_INFINITY): string[] {
  if (rates === "") return [depth];
  const line = depth + GAP + rates;
  return Bun.stringWidth(line) <= width ? [line] : [depth, rates];
}

function ratesText({ stored_per_second: stored, failed_per_second: failed, seconds_left: left }: QueueReport): string {
  const parts = stored > 0 || failed > 0 ? [`stored ${rateText(stored)}/s`] : [];
  if (failed > 0) parts.push(`failed ${rateText(failed)}/s`);
  if (left !== null && left > 0) parts.push(`${roughDuration(left * 1000)} left`);
  return parts.join(" · ");
}

function rateText(perSecond: number): string {
  return perSecond < 10 ? String(Math.round(perSecond * 10) / 10) : countText(Math.round(perSecond));
}

function limitLines({ limited_by: limit, closed_buckets: closed }: QueueReport): string[] {
  const lines = limit === null ? [] : [`${limit.standstill ? "nothing runs:" : "limited by"} ${limit.reason}`];
  // Work for other buckets continues; another line names its limit.
  if (limit?.cause === "storage" || limit?.cause === "disk_full") return lines;
  return [...lines, ...closed.map(({ bucket, code, message }) => `bucket ${bucket} is closed: ${code} ${message}`)];
}

function rowOf(host: HostRow): string[] {
  return [host.host, countText(host.waiting), countText(host.running), countText(host.limit), stateText(host)];
}

type HostState = Omit<HostRow, "host" | "waiting" | "running">;

/** The state of a host in words, with its reason and its end. */
export function stateText(host: HostState): string {
  const { state, limit, max_concurrency: most, rate_per_second: rate, code, closed_for_ms: closedMs } = host;
  const why = code === null ? "" : ` (${shortCode(code)})`;
  const until = clockText(systemClock.now() + closedMs);
  switch (state) {
    case "open":
      return "open";
    case "rate":
      return `${rate}/s at most`;
    case "waiting":
      return `waiting until ${until}${why}`;
    case "breaker":
      return `breaker open until ${until}${why}`;
    case "probing":
      return `probing${why}`;
    case "slowed":
      return `slowed to ${limit === 0 ? "less than 1" : limit} of ${most}${slowedText(host)}`;
  }
}

function slowedText({ code, slowed_ms_ago: ms }: HostState): string {
  const parts = [...(code === null ? [] : [shortCode(code)]), ...(ms === null ? [] : [`${roughDuration(ms)} ago`])];
  return parts.length === 0 ? "" : ` (${parts.join(" ")})`;
}

/** `429` for `DOWNLOAD_HTTP_429`, `TIMEOUT` for `DOWNLOAD_TIMEOUT`. */
function shortCode(code: string): string {
  return code.replace(/^DOWNLOAD_(HTTP_)?/, "");
}
