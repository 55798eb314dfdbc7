import type { JobSnapshot } from "../../api/schemas.ts";
import { delay, systemClock } from "../../jobs/clock.ts";
import { isFinished } from "../../jobs/job.ts";
import { WorkFailedError } from "../exit-code.ts";
import { stopSignal } from "../stop-signal.ts";
import { terminalLine } from "../terminal-line.ts";
import { bytesText } from "../units.ts";
import { UnreachableError } from "./client.ts";
import type { Remote } from "./context.ts";
import { readJob } from "./jobs.ts";

/** A job that was submitted. */
export interface Accepted {
  readonly job_id: string;
  readonly resource_count: number;
}

const POLL_MS = 500;
/** Of many jobs so many are looked at at a time, in turn. */
const POLL_JOBS = 20;
/** A service that starts anew is away for so long at most. */
const AWAY_MS = 120_000;

/**
 * Waits until all jobs have ended, over restarts of the service, and shows on a terminal how far they are together.
 * @throws WorkFailedError if it is told to stop, or the service stays away; the jobs go on
 */
export async function waitForAll(jobs: readonly Accepted[], remote: Remote): Promise<JobSnapshot[]> {
  const screen = await terminalLine();
  const stop = new AbortController();
  void stopSignal(() => {}).then((signal) => stop.abort(new WorkFailedError(`${signal}: the jobs go on without you`)));
  const known = new Map<string, JobSnapshot>();
  const pending = new Set(jobs.map(({ job_id }) => job_id));
  let heardAt = systemClock.monotonic();
  while (pending.size > 0) {
    try {
      for (const jobId of [...pending].slice(0, POLL_JOBS)) {
        const job = await readJob(jobId, remote);
        known.set(jobId, job);
        pending.delete(jobId);
        if (!isFinished(job.status)) pending.add(jobId); // at the end of the line
      }
      heardAt = systemClock.monotonic();
      screen?.(together(jobs, known));
    } catch (error) {
      if (!(error instanceof UnreachableError) || systemClock.monotonic() - heardAt > AWAY_MS) throw error;
      screen?.("the service does not answer; waiting for it");
    }
    if (pending.size > 0) await delay(systemClock, POLL_MS, stop.signal);
  }
  screen?.clear();
  return jobs.flatMap(({ job_id }) => known.get(job_id) ?? []);
}

function together(jobs: readonly Accepted[], known: ReadonlyMap<string, JobSnapshot>): string {
  const seen = [...known.values()];
  const sum = (what: (job: JobSnapshot) => number) => seen.reduce((total, job) => total + what(job), 0);
  const total = jobs.reduce((count, job) => count + job.resource_count, 0);
  const failed = sum((job) => job.resource_failed);
  const ended = seen.filter(({ status }) => isFinished(status)).length;
  const parts = [`${sum((job) => job.resource_completed)} of ${total} stored`];
  if (failed > 0) parts.push(`${failed} failed`);
  parts.push(bytesText(sum((job) => job.bytes_stored)));
  if (jobs.length > 1) parts.push(`${ended} of ${jobs.length} jobs ended`);
  return `${parts.join(", ")}; Ctrl-C leaves them at work`;
}
