import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { isFinished } from "../../jobs/job.ts";
import type { TerminalLine } from "../terminal/terminal-line.ts";
import { clipEnd } from "../terminal/terminal-text.ts";
import { bytesText, counted, countText } from "../terminal/units.ts";
import type { Patience } from "./patience.ts";
import type { Remote } from "./remote-context.ts";
import { readJob } from "./show-jobs.ts";

/** A job that was submitted. */
export interface Accepted {
  readonly job_id: string;
  readonly resource_count: number;
}

const POLL_MS = 500;
/** Of many jobs so many are looked at at a time, in turn. */
const POLL_JOBS = 20;

interface WaitDeps {
  readonly remote: Remote;
  readonly patience: Patience;
  /** Shows how far the jobs are together. */
  readonly screen: TerminalLine | undefined;
  /** Told of each job as it ends. */
  readonly onEnded: (job: JobSnapshot) => void;
}

/**
 * Waits until all jobs have ended, over restarts of the service. @throws why nobody waits any longer; the jobs go on
 */
export async function waitForAll(jobs: readonly Accepted[], deps: WaitDeps): Promise<JobSnapshot[]> {
  const { remote, patience, screen, onEnded } = deps;
  const known = new Map<string, JobSnapshot>();
  const pending = new Set(jobs.map(({ job_id }) => job_id));
  while (pending.size > 0) {
    for (const jobId of [...pending].slice(0, POLL_JOBS)) {
      const job = await patience.ask(() => readJob(jobId, remote));
      known.set(jobId, job);
      pending.delete(jobId);
      if (isFinished(job.status)) onEnded(job);
      else pending.add(jobId); // at the end of the line
    }
    const progress = `${countsText(totalsOf(jobs, [...known.values()]))}; Ctrl-C leaves them at work`;
    screen?.(clipEnd(progress, remote.width ?? progress.length));
    if (pending.size > 0) await patience.wait(POLL_MS);
  }
  screen?.clear();
  return jobs.flatMap(({ job_id }) => known.get(job_id) ?? []);
}

/** Of several jobs together. */
interface Totals {
  readonly jobs: number;
  readonly ended: number;
  readonly resources: number;
  readonly stored: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly bytes: number;
}

export function totalsOf(jobs: readonly Accepted[], known: readonly JobSnapshot[]): Totals {
  const sum = (what: (job: JobSnapshot) => number) => known.reduce((total, job) => total + what(job), 0);
  return {
    jobs: jobs.length,
    ended: sum(({ status }) => (isFinished(status) ? 1 : 0)),
    resources: jobs.reduce((count, job) => count + job.resource_count, 0),
    stored: sum((job) => job.resource_completed),
    failed: sum((job) => job.resource_failed),
    cancelled: sum((job) => job.resource_cancelled),
    bytes: sum((job) => job.bytes_stored),
  };
}

/** `49,770 of 49,776 stored, 6 failed, 1.2 GB, 48 of 50 jobs ended`. */
export function countsText({ jobs, ended, resources, stored, failed, cancelled, bytes }: Totals): string {
  const parts = [`${countText(stored)} of ${countText(resources)} stored`];
  if (failed > 0) parts.push(`${countText(failed)} failed`);
  if (cancelled > 0) parts.push(`${countText(cancelled)} cancelled`);
  parts.push(bytesText(bytes));
  if (jobs > 1 && ended < jobs) parts.push(`${countText(ended)} of ${counted(jobs, "job")} ended`);
  return parts.join(", ");
}
