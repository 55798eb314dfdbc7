import type { JobRecord } from "../../jobs/stores/ledger-reads.ts";
import type { ActiveDownload } from "../../worker/download/active-downloads.ts";
import { Speedometer } from "./speedometer.ts";
import { clipEnd, clipMiddle, printable } from "./terminal-text.ts";
import { bytesText, countText, durationText } from "./units.ts";

const BAR_WIDTH = 20;
/** Less than this of a name tells nobody which it is. */
const NAME_LEAST = 12;
/** Lines beside the downloads: the job's own, and one for those that have no room. */
const OTHER_LINES = 2;
const GAP = "  ";

/** What a run is at, at one moment. */
interface RunState {
  readonly job: JobRecord;
  readonly active: readonly ActiveDownload[];
  /** Of all attempts so far. */
  readonly bytesReceived: number;
  /** By the monotonic clock. */
  readonly now: number;
}

/** A part of a line. */
interface Part {
  readonly text: string;
  /** Parts with the highest number go first where the line is too long; those without one stay. */
  readonly expendable?: number;
}

/** What a run looks like now, in lines for a terminal: the job first, then each download under way. */
export class Progress {
  readonly #all = new Speedometer();
  readonly #downloads = new Map<number, Speedometer>();

  /** `rows` and `columns` are the terminal's. */
  render(state: RunState, rows: number, columns: number): string[] {
    const { active, bytesReceived, now } = state;
    this.#all.note(bytesReceived, now);
    for (const { claimed, trace } of active) this.#speedOf(claimed.id).note(trace.bytes, now);
    this.#forgetOthers(active);
    const shown = active.slice(0, Math.max(1, rows - OTHER_LINES));
    const lines = [
      fitted(this.#jobParts(state), columns),
      ...shown.map((download) => this.#downloadLine(download, columns)),
    ];
    if (active.length > shown.length) lines.push(`  … and ${active.length - shown.length} more`);
    return lines.map((line) => clipEnd(line, columns));
  }

  #jobParts({ job, active, bytesReceived }: RunState): Part[] {
    const done = job.completed + job.failed + job.cancelled;
    const underWay = active.reduce((sum, download) => sum + shareOf(download), 0);
    const share = Math.min(1, (done + underWay) / job.total);
    const parts: Part[] = [
      { text: bar(share), expendable: 4 },
      { text: percentText(share) },
      { text: `${countText(job.completed)}/${countText(job.total)} stored` },
    ];
    if (job.failed > 0) parts.push({ text: `${countText(job.failed)} failed`, expendable: 1 });
    parts.push({ text: bytesText(bytesReceived), expendable: 3 }, { text: `${bytesText(this.#all.perSecond)}/s` });
    const bytes = bytesLeft(job, active);
    const left = bytes === undefined ? undefined : this.#all.secondsFor(bytes);
    if (left !== undefined && done < job.total) parts.push({ text: `${durationText(left)} left`, expendable: 2 });
    return parts;
  }

  #downloadLine(download: ActiveDownload, columns: number): string {
    const { claimed, trace, bytesTotal } = download;
    const speed = this.#speedOf(claimed.id);
    const left = bytesTotal === 0 ? undefined : speed.secondsFor(bytesTotal - trace.bytes);
    // Each as wide on every line, so that they stand below each other.
    const parts: Part[] = [
      { text: bytesTotal === 0 ? " ".repeat(4) : percentText(shareOf(download)), expendable: 1 },
      { text: bytesText(trace.bytes).padStart(8), expendable: 3 },
      { text: `${bytesText(speed.perSecond)}/s`.padStart(10) },
      { text: (left === undefined ? "" : `${durationText(left)} left`).padEnd(11), expendable: 2 },
    ];
    const right = fitted(parts, columns - NAME_LEAST - 2 * GAP.length);
    const width = Math.max(NAME_LEAST, columns - Bun.stringWidth(right) - 2 * GAP.length);
    const name = clipMiddle(printable(claimed.task.resourceId), width);
    return `${GAP}${name}${" ".repeat(Math.max(0, width - Bun.stringWidth(name)))}${GAP}${right}`.trimEnd();
  }

  #speedOf(task: number): Speedometer {
    const known = this.#downloads.get(task) ?? new Speedometer();
    this.#downloads.set(task, known);
    return known;
  }

  #forgetOthers(active: readonly ActiveDownload[]): void {
    const ids = new Set(active.map(({ claimed }) => claimed.id));
    for (const id of this.#downloads.keys()) if (!ids.has(id)) this.#downloads.delete(id);
  }
}

/** The parts in a line that is no longer than `columns`, as far as they can be left out. */
function fitted(parts: readonly Part[], columns: number): string {
  let shown = parts;
  const lineOf = (line: readonly Part[]) => line.map(({ text }) => text).join(GAP);
  while (Bun.stringWidth(lineOf(shown)) > columns) {
    const [first] = shown
      .filter(({ expendable }) => expendable !== undefined)
      .toSorted((a, b) => (b.expendable ?? 0) - (a.expendable ?? 0));
    if (first === undefined) break;
    shown = shown.filter((part) => part !== first);
  }
  return lineOf(shown);
}

/** How far a download is, from 0 to 1; 0 while its size is unknown. */
function shareOf({ trace, bytesTotal }: ActiveDownload): number {
  return bytesTotal === 0 ? 0 : Math.min(1, trace.bytes / bytesTotal);
}

/**
 * What a job still has to fetch, as far as one can tell: what is under way says it itself, and for what has not begun
 * the mean of what is done stands. Nothing while a size under way is unknown.
 */
function bytesLeft(job: JobRecord, active: readonly ActiveDownload[]): number | undefined {
  let bytes = 0;
  for (const { trace, bytesTotal } of active) {
    if (bytesTotal === 0) return undefined;
    bytes += Math.max(0, bytesTotal - trace.bytes);
  }
  const waiting = job.total - job.completed - job.failed - job.cancelled - active.length;
  if (waiting <= 0) return bytes;
  return job.completed === 0 ? undefined : bytes + (waiting * job.bytes) / job.completed;
}

function bar(share: number): string {
  const filled = Math.round(share * BAR_WIDTH);
  return `[${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}]`;
}

function percentText(share: number): string {
  return `${Math.floor(share * 100)}%`.padStart(4);
}
