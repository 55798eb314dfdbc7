import type { JobRecord } from "../../jobs/stores/ledger-reads.ts";
import type { ActiveDownload } from "../../worker/download/active-downloads.ts";
import { Speedometer } from "../../worker/download/speedometer.ts";
import { clipEnd, clipMiddle, printable } from "./terminal-text.ts";
import { bytesText, countText, durationText } from "./units.ts";

const BAR_WIDTH = 20;
/** A shorter piece of a name does not identify the resource. */
const NAME_LEAST = 12;
/** Lines beside the downloads: the job's line, and the number of hidden downloads. */
const OTHER_LINES = 2;
const GAP = "  ";

/** The state of a run at one moment. */
interface RunState {
  readonly job: JobRecord;
  readonly active: readonly ActiveDownload[];
  /** The bytes of all attempts so far. */
  readonly bytesReceived: number;
  /** Milliseconds of the monotonic clock. */
  readonly now: number;
}

/** A part of a line. */
interface Part {
  readonly text: string;
  /** A line that is too long loses the part with the highest number first. A part without a number stays. */
  readonly expendable?: number;
}

/** The progress of a run in lines for a terminal: first the job, then each running download. */
export class Progress {
  readonly #all = new Speedometer();
  readonly #downloads = new Map<number, Speedometer>();

  /** The lines for a terminal of `rows` and `columns`. */
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
    // The parts have fixed widths and so form columns.
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

/** The parts in one line, without as many expendable parts as `columns` requires. */
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

/** The progress of a download from 0 to 1; 0 while its size is unknown. */
function shareOf({ trace, bytesTotal }: ActiveDownload): number {
  return bytesTotal === 0 ? 0 : Math.min(1, trace.bytes / bytesTotal);
}

/**
 * An estimate of a job's remaining bytes: the rest of the running downloads, and the mean size of the completed ones
 * for each pending one. `undefined` while the size of a running download is unknown.
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
