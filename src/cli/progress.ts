import type { JobRecord } from "../sqlite/ledger.ts";
import type { ActiveDownload } from "../worker/active-downloads.ts";
import { Speedometer } from "./speedometer.ts";
import { printable } from "./terminal-text.ts";
import { bytesText, durationText } from "./units.ts";

const BAR_WIDTH = 20;
const NAME_WIDTH = 28;
/** Lines beside the downloads: the job's own, and one for those that have no room. */
const OTHER_LINES = 2;

/** What a run looks like now, in lines for a terminal: the job first, then each download under way. */
export class Progress {
  readonly #job = new Speedometer();
  readonly #downloads = new Map<number, Speedometer>();

  /** `now` by the monotonic clock; `rows` and `columns` are the terminal's. */
  render(job: JobRecord, active: readonly ActiveDownload[], now: number, rows: number, columns: number): string[] {
    const running = active.reduce((sum, { trace }) => sum + trace.bytes, 0);
    this.#job.note(job.bytes + running, now);
    this.#forgetOthers(active);
    const shown = active.slice(0, Math.max(1, rows - OTHER_LINES));
    const lines = [
      this.#jobLine(job, running, bytesLeft(job, active)),
      ...shown.map((download) => this.#downloadLine(download, now)),
    ];
    if (active.length > shown.length) lines.push(`  … and ${active.length - shown.length} more`);
    return lines.map((line) => clip(line, columns));
  }

  #jobLine(job: JobRecord, running: number, bytesLeft: number | undefined): string {
    const done = job.completed + job.failed;
    const parts = [`${bar(done / job.total)} ${job.completed}/${job.total} stored`];
    if (job.failed > 0) parts.push(`${job.failed} failed`);
    parts.push(bytesText(job.bytes + running), `${bytesText(this.#job.perSecond)}/s`);
    const left = bytesLeft === undefined ? undefined : this.#job.secondsFor(bytesLeft);
    if (left !== undefined && done < job.total) parts.push(`about ${durationText(left)} left`);
    return parts.join("  ");
  }

  #downloadLine({ claimed, trace, bytesTotal }: ActiveDownload, now: number): string {
    let speed = this.#downloads.get(claimed.id);
    if (speed === undefined) {
      speed = new Speedometer();
      this.#downloads.set(claimed.id, speed);
    }
    speed.note(trace.bytes, now);
    const name = clip(printable(claimed.task.resourceId), NAME_WIDTH).padEnd(NAME_WIDTH);
    if (bytesTotal === 0) {
      return `  ${name} ${bytesText(trace.bytes)}  ${bytesText(speed.perSecond)}/s`;
    }
    const left = speed.secondsFor(bytesTotal - trace.bytes);
    const sizes = `${bytesText(trace.bytes)}/${bytesText(bytesTotal)}`;
    const time = left === undefined ? "" : `  ${durationText(left)} left`;
    return `  ${name} ${bar(trace.bytes / bytesTotal)} ${sizes}  ${bytesText(speed.perSecond)}/s${time}`;
  }

  #forgetOthers(active: readonly ActiveDownload[]): void {
    const ids = new Set(active.map(({ claimed }) => claimed.id));
    for (const id of this.#downloads.keys()) if (!ids.has(id)) this.#downloads.delete(id);
  }
}

/**
 * What a job still has to fetch, as far as one can tell: what is under way says it itself, and for what has not begun
 * the mean of what is done stands. Nothing while a size under way is unknown.
 */
function bytesLeft(job: JobRecord, active: readonly ActiveDownload[]): number | undefined {
  let bytes = 0;
  for (const { trace, bytesTotal } of active) {
    if (bytesTotal === 0) return undefined;
    bytes += bytesTotal - trace.bytes;
  }
  const waiting = job.total - job.completed - job.failed - job.cancelled - active.length;
  if (waiting <= 0) return bytes;
  return job.completed === 0 ? undefined : bytes + (waiting * job.bytes) / job.completed;
}

function bar(fraction: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  const percent = `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}%`.padStart(4);
  return `[${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)}]${percent}`;
}

/** As much of a text as has room in a line. */
export function clip(text: string, width: number): string {
  return Bun.stringWidth(text) <= width ? text : `${Bun.sliceAnsi(text, 0, Math.max(1, width - 1))}…`;
}
