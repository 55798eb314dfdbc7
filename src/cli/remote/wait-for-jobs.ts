import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { isFinished } from "../../jobs/job.ts";
import type { TerminalLine } from "../terminal/terminal-line.ts";
import { clipEnd } from "../terminal/terminal-text.ts";
import { bytesText, counted, countText } from "../terminal/units.ts";
import type { Patience } from "./patience.ts";
import type { Remote } from "./remote-context.ts";
import { readJob } from "./show-jobs.ts";

/** A submitted job. */
export interface Accepted {
  readonly job_id: string;
  readonly resource_count: number;
}

const POLL_MS = 500;
/** Most jobs that one poll asks for; many jobs take turns. */
const POLL_JOBS = 20;

interface WaitDeps {
  readonly remote: Remote;
  readonly patience: Patience;
  /** The terminal line for the jobs' common progress. */
  readonly screen: TerminalLine | undefined;
  /** Called for each job as it ends. */
  readonly onEnded: (job: JobSnapshot) => void;
}

/** Waits until all jobs have ended, also across restarts of the service. @throws the end of the wait */
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
      else pending.add(jobId); // back to the end of the queue
    }
    const progress = `${countsText(totalsOf(jobs, [...known.values()]))}; they continue after Ctrl-C`;
    screen?.(clipEnd(progress, remote.width ?? progress.length));
    if (pending.size > 0) await patience.wait(POLL_MS);
  }
  screen?.clear();
  return jobs.flatMap(({ job_id }) => known.get(job_id) ?? []);
}

/** The sums over several jobs. */
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
  const sum = (count: (job: JobSnapshot) => number) => known.reduce((total, job) => total + count(job), 0);
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
