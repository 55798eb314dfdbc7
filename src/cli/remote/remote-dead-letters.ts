import type { Analysis, AttemptRow, DeadLetterDetail, DeadLetterRow, OperationRow } from "../../api/openapi/schemas.ts";
import { ATTEMPTS_KEPT_MAX } from "../../jobs/task.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { MASK } from "../../std/visible-text.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { bodyStartText } from "../terminal/body-start.ts";
import { dayText, minuteText, secondText } from "../terminal/moments.ts";
import { table } from "../terminal/table.ts";
import { clipMiddle, printable } from "../terminal/terminal-text.ts";
import { bytesText, counted, countText } from "../terminal/units.ts";
import { followOperation } from "./operations.ts";
import { NotThereError } from "./remote-client.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

/** The filter of dead letters, as options of the command line. */
interface FilterFlags extends RemoteFlags {
  readonly code?: string;
  readonly host?: string;
  readonly jobId?: string;
  readonly jobType?: string;
  readonly tenant?: string;
  readonly since?: string;
  readonly until?: string;
}

export interface ListFlags extends FilterFlags {
  readonly limit: string;
  readonly cursor?: string;
}

export interface AnalyzeFlags extends FilterFlags {
  readonly by: string;
}

/** The selection of dead letters for a replay or discard. */
export interface SelectFlags extends FilterFlags {
  readonly all?: true;
  readonly dryRun?: true;
}

export interface ReplayFlags extends SelectFlags {
  readonly rate?: string;
  readonly header?: readonly string[];
  readonly proxyPool?: string;
}

interface DeadLetterList {
  readonly entries: readonly DeadLetterRow[];
  readonly next_cursor: string | null;
}

export async function listDeadLetters(flags: ListFlags, remote: Remote): Promise<void> {
  const query = { ...filterOf(flags), limit: flags.limit, cursor: flags.cursor };
  const list = await remote.client.get<DeadLetterList>("/operators/dlq", query);
  const columns = [
    { title: "TASK", isNumber: true },
    { title: "FAILED AT", expendable: 1 },
    { title: "FAILURE", isElasticAtLast: true },
    { title: "ATTEMPTS", isNumber: true, expendable: 2 },
    { title: "URL", isElastic: true },
  ] as const;
  answer(remote, flags, list, ({ entries, next_cursor: next }) => {
    if (entries.length === 0) return `no dead letters${portHint(flags)}\n`;
    const rows = entries.map((entry) => [
      String(entry.task_id),
      minuteText(entry.failed_at),
      entry.failure_code,
      String(entry.attempts),
      entry.url,
    ]);
    return table(columns, rows, remote.width) + (next === null ? "" : `more dead letters follow: --cursor ${next}\n`);
  });
}

const ATTEMPT_COLUMNS = [
  { title: "ATTEMPT" },
  { title: "WHEN", expendable: 2 },
  { title: "TOOK", expendable: 5 },
  { title: "CODE", isElasticAtLast: true },
  { title: "HTTP", expendable: 1 },
  { title: "BYTES", isNumber: true, expendable: 6 },
  { title: "ADDRESS", isElastic: true, expendable: 3 },
  { title: "PROXY", isElastic: true, expendable: 4 },
] as const;
/** Most ids that an error names. */
const NAMED_MAX = 10;
/** The cell for a value that an attempt does not have. */
const NONE = "–";
/** A narrower terminal shows a shortened URL; a wider one shows the whole URL, for copying. */
const NARROW = 80;

/** Prints one dead letter with its attempts, and the commands that resolve it. */
export async function showDeadLetter(id: string, flags: RemoteFlags, remote: Remote): Promise<void> {
  const deadLetter = await remote.client.get<DeadLetterDetail>(`/operators/dlq/${idOf(id)}`);
  answer(remote, flags, deadLetter, (shown) => deadLetterText(shown, remote.width));
}

function deadLetterText(deadLetter: DeadLetterDetail, width: number | undefined): string {
  const { task_id: id, job_id, resource_id, failure_code, failure_message, history } = deadLetter;
  const failure = `${failure_code} ${printable(failure_message)}`;
  const head = [`task ${id}`, `job ${job_id}`, printable(resource_id), failure].join(" · ");
  const isNarrow = width !== undefined && width < NARROW;
  const url = isNarrow ? clipMiddle(printable(deadLetter.url), width) : printable(deadLetter.url);
  const rows = history.map((attempt, at) => attemptCells(attempt, at + 1));
  const attempts = rows.length === 0 ? "no attempts\n" : table(ATTEMPT_COLUMNS, rows, width);
  const gap =
    rows.length < ATTEMPTS_KEPT_MAX ? "" : `the list has the first attempt and the last ${ATTEMPTS_KEPT_MAX - 1}\n`;
  const next = `next: fetchbox dlq replay ${id} · fetchbox dlq rm ${id}\n`;
  return `${head}\n${url}\n${attempts}${gap}${latestBodyStart(history, width)}${next}`;
}

/** The start of the body of the latest attempt that has one. */
function latestBodyStart(history: readonly AttemptRow[], width: number | undefined): string {
  const at = history.findLastIndex(({ body_start: hex }) => hex !== null && hex !== "");
  const hex = history[at]?.body_start ?? "";
  return hex === "" ? "" : `start of the body, attempt ${at + 1}:\n${bodyStartText(hex, width)}`;
}

function attemptCells(attempt: AttemptRow, number: number): string[] {
  return [
    String(number),
    secondText(attempt.started_at),
    roughDuration(attempt.duration_ms),
    attempt.code,
    attempt.http_status === null ? NONE : String(attempt.http_status),
    bytesText(attempt.bytes),
    attempt.address ?? NONE,
    attempt.proxy ?? NONE,
  ];
}

export async function analyzeDeadLetters(flags: AnalyzeFlags, remote: Remote): Promise<void> {
  const analysis = await remote.client.get<Analysis>("/operators/dlq/analysis", { by: flags.by, ...filterOf(flags) });
  const columns = [
    { title: analysis.by.toUpperCase().replace("_", " "), isElastic: true },
    { title: "COUNT", isNumber: true },
    { title: "SHARE", isNumber: true },
    { title: "FIRST SEEN", expendable: 2 },
    { title: "LAST SEEN", expendable: 1 },
    { title: "E.G. TASK", isNumber: true, expendable: 3 },
  ] as const;
  answer(remote, flags, analysis, ({ total, groups, groups_truncated }) => {
    const rows = groups.map((group) => [
      group.key,
      String(group.count),
      `${(group.share * 100).toFixed(1)} %`,
      dayText(group.first_seen),
      dayText(group.last_seen),
      String(group.sample_task_id),
    ]);
    return `${table(columns, rows, remote.width)}${groups_truncated ? "…\n" : ""}${counted(total, "dead letter")}\n`;
  });
}

/** Replays dead letters by ids or by a filter; all of them only with `--all`. */
export async function replayDeadLetters(ids: readonly string[], flags: ReplayFlags, remote: Remote): Promise<void> {
  const headers = headersOf(flags.header ?? []);
  const body = {
    ...selectionOf(ids, flags),
    ...(flags.rate !== undefined && { rate_per_second: rateOf(flags.rate) }),
    ...((headers !== undefined || flags.proxyPool !== undefined) && {
      overrides: { headers, proxy_pool: flags.proxyPool },
    }),
  };
  const missing = ids.length === 0 ? [] : await missingOf(ids, body, remote);
  const { operation, ...first } = await change<{ matched: number; replayed: number }>("replay", body, remote);
  const replayed =
    operation === undefined ? first : { ...first, replayed: (await followOperation(operation, remote)).changed };
  answer(remote, flags, replayed, ({ matched, replayed: count }) =>
    flags.dryRun === true
      ? `${countText(matched)} would be replayed${matched === 0 ? portHint(flags) : ""}\n`
      : `${countText(count)} of ${countText(matched + missing.length)} replayed${matched === 0 ? portHint(flags) : ""}\n`,
  );
  refuseMissing(missing);
}

/** The ids without a dead letter. They are found before the replay, which removes the dead letters. */
async function missingOf(ids: readonly string[], body: object, remote: Remote): Promise<number[]> {
  const asked = new Set(ids.map(idOf));
  const { matched } = await change<{ matched: number }>("replay", { ...body, dry_run: true }, remote);
  if (matched === asked.size) return [];
  const missing: number[] = [];
  for (const id of asked) {
    try {
      await remote.client.get(`/operators/dlq/${id}`);
    } catch (error) {
      if (!(error instanceof NotThereError)) throw error;
      missing.push(id);
    }
  }
  return missing;
}

/** @throws WorkFailedError with the first missing ids */
function refuseMissing(missing: readonly number[]): void {
  if (missing.length === 0) return;
  const more = missing.length > NAMED_MAX ? ` and ${countText(missing.length - NAMED_MAX)} more` : "";
  throw new WorkFailedError(`no dead letter has the id ${missing.slice(0, NAMED_MAX).join(", ")}${more}`);
}

/** A hint for an empty result: the filter's host may lack its port. */
function portHint({ host }: FilterFlags): string {
  if (host === undefined || /:\d+$/.test(host)) return "";
  return `; a host includes its port, as in ${host}:8080, unless it is the default port`;
}

/** Discards dead letters by ids or by a filter. @throws WorkFailedError after it, with the ids without a dead letter */
export async function removeDeadLetters(ids: readonly string[], flags: SelectFlags, remote: Remote): Promise<void> {
  const selection = selectionOf(ids, flags);
  if (ids.length > 0 && flags.dryRun === undefined) return await removeByIds(ids.map(idOf), flags, remote);
  const { operation, ...first } = await change<{ matched: number; given_up: number }>("give-up", selection, remote);
  const discarded =
    operation === undefined ? first : { ...first, given_up: (await followOperation(operation, remote)).changed };
  answer(remote, flags, discarded, ({ matched, given_up: count }) =>
    flags.dryRun === true
      ? `${countText(matched)} would be discarded${matched === 0 ? portHint(flags) : ""}\n`
      : `${countText(count)} of ${countText(matched)} discarded${matched === 0 ? portHint(flags) : ""}\n`,
  );
}

async function removeByIds(tasks: readonly number[], flags: RemoteFlags, remote: Remote): Promise<void> {
  const missing: number[] = [];
  for (const task of tasks) {
    try {
      await remote.client.delete(`/operators/dlq/${task}`);
    } catch (error) {
      if (!(error instanceof NotThereError)) throw error;
      missing.push(task);
    }
  }
  const matched = tasks.length - missing.length;
  answer(remote, flags, { matched, given_up: matched }, () => `${matched} of ${tasks.length} discarded\n`);
  refuseMissing(missing);
}

/** Asks for an answer within a second; a longer operation then runs in the background, with progress. */
function change<T>(
  verb: "replay" | "give-up",
  body: object,
  { client }: Remote,
): Promise<T & { operation?: OperationRow }> {
  return client.post(`/operators/dlq/${verb}`, body, { prefer: "wait=1" });
}

function selectionOf(ids: readonly string[], flags: SelectFlags) {
  const filter = filterOf(flags);
  const hasFilter = Object.values(filter).some((value) => value !== undefined);
  if ([ids.length > 0, hasFilter, flags.all === true].filter(Boolean).length !== 1) {
    throw new UsageError("name the dead letters by one of: task ids, filters like --code, or --all");
  }
  return {
    ...(ids.length > 0 ? { task_ids: ids.map(idOf) } : { filter }),
    ...(flags.dryRun === true && { dry_run: true }),
  };
}

function filterOf({ code, host, jobId, jobType, tenant, since, until }: FilterFlags) {
  return { code, host, job_id: jobId, job_type: jobType, tenant, since: timeOf(since), until: timeOf(until) };
}

/** A day becomes its local midnight; any other text stays as it is. */
function timeOf(text: string | undefined): string | undefined {
  if (text === undefined || !/^\d{4}-\d\d-\d\d$/.test(text)) return text;
  const midnight = new Date(`${text}T00:00:00`);
  return dayText(midnight.getTime()) === text ? midnight.toISOString() : text;
}

function idOf(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${text} is not a task id; fetchbox dlq list shows the ids`);
  return Number(text);
}

function rateOf(text: string): number {
  const rate = Number(text);
  if (!(rate > 0)) throw new UsageError("--rate must be a number of tasks per second above 0");
  return rate;
}

function headersOf(lines: readonly string[]): Record<string, string> | undefined {
  if (lines.length === 0) return undefined;
  const headers = new Map<string, readonly [name: string, value: string]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new UsageError('--header must be like "Referer: https://example.com/"');
    const [name, value] = [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    const shown = printable(name);
    // A command that was copied from the console has it in place of a secret value.
    if (value === MASK)
      throw new UsageError(`--header ${shown}: *** stands for a secret; enter the value in its place`);
    if (headers.has(name.toLowerCase()))
      throw new UsageError(`--header ${shown} is given twice; letter case is ignored`);
    headers.set(name.toLowerCase(), [name, value]);
  }
  return Object.fromEntries(headers.values());
}
