import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { UsageError } from "../exit-code.ts";
import { jsonLine } from "../terminal/terminal-text.ts";
import { counted } from "../terminal/units.ts";
import { ConflictError } from "./remote-client.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

export interface CancelFlags extends RemoteFlags {
  readonly jobType?: string;
  readonly tenant?: string;
  readonly status?: string;
  readonly all?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

interface JobList {
  readonly jobs: readonly JobSnapshot[];
  readonly next_cursor: string | null;
}

/** What a job can be cancelled in. */
const LIVE = ["queued", "in_progress"] as const;
const PAGE = 1000;

/** One job by its id, or every job of a filter that has not ended. */
export async function cancelJobs(jobId: string | undefined, flags: CancelFlags, remote: Remote): Promise<void> {
  const { jobType, tenant, status, all } = flags;
  const hasFilter = [jobType, tenant, status].some((value) => value !== undefined);
  if ([jobId !== undefined, hasFilter, all === true].filter(Boolean).length !== 1) {
    throw new UsageError("say which: a job id, or options like --job-type, or --all");
  }
  if (jobId === undefined) return await cancelByFilter(flags, remote);
  if (flags.dryRun === true) throw new UsageError("--dry-run goes with a filter: a job by its id is one job");
  const job = await cancel(jobId, remote);
  answer(remote, flags, job, () => `job ${job.job_id} is being cancelled; it was ${job.status}\n`);
}

async function cancelByFilter(flags: CancelFlags, remote: Remote): Promise<void> {
  const jobs = await liveJobs(flags, remote);
  const left = jobs.reduce((sum, job) => sum + leftOf(job), 0);
  const found = `${counted(jobs.length, "job")} with ${counted(left, "resource")} left`;
  if (flags.dryRun === true || jobs.length === 0) {
    return report({ matched: jobs.length, cancelled: 0 }, `${found}: nothing was cancelled\n`, flags, remote);
  }
  if (flags.yes !== true) {
    if (!canAsk()) throw new UsageError(`${found} would be cancelled; --yes does it, --dry-run only tells`);
    if (!isConfirmed(`cancel ${found}?`)) {
      return report({ matched: jobs.length, cancelled: 0 }, "nothing was cancelled\n", flags, remote);
    }
  }
  if (flags.json !== true) remote.out(`cancelling ${found}\n`);
  let cancelled = 0;
  for (const { job_id } of jobs) if (await cancelUnlessEnded(job_id, remote)) cancelled++;
  const ended = jobs.length - cancelled;
  const others = ended === 0 ? "" : `; ${ended} had ended before`;
  report({ matched: jobs.length, cancelled }, `${counted(cancelled, "job")} cancelled${others}\n`, flags, remote);
}

function report(result: { matched: number; cancelled: number }, text: string, { json }: CancelFlags, { out }: Remote) {
  out(json === true ? jsonLine(result) : text);
}

/** All of them, found before the first is cancelled: pages of a list that changes could leave some out. */
async function liveJobs({ jobType, tenant, status }: CancelFlags, { client }: Remote): Promise<JobSnapshot[]> {
  const jobs: JobSnapshot[] = [];
  for (const each of statusesOf(status)) {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const query = { status: each, job_type: jobType, tenant, limit: PAGE, cursor };
      const list: JobList = await client.get<JobList>("/operators/jobs", query);
      jobs.push(...list.jobs);
      cursor = list.next_cursor;
    }
  }
  // A job may have begun between the two lists.
  return [...new Map(jobs.map((job) => [job.job_id, job])).values()];
}

function statusesOf(status: string | undefined): readonly string[] {
  if (status === undefined) return LIVE;
  if (LIVE.some((each) => each === status)) return [status];
  throw new UsageError(`--status must be ${LIVE.join(" or ")}: other jobs have ended`);
}

function leftOf(job: JobSnapshot): number {
  return job.resource_total - job.resource_completed - job.resource_failed - job.resource_cancelled;
}

/** Whether somebody is there to answer. */
function canAsk(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

function isConfirmed(question: string): boolean {
  return /^y(es)?$/i.test((prompt(`${question} [y/N]`) ?? "").trim());
}

function cancel(jobId: string, { client }: Remote): Promise<JobSnapshot> {
  return client.post<JobSnapshot>(`/operators/jobs/${encodeURIComponent(jobId)}/cancel`);
}

async function cancelUnlessEnded(jobId: string, remote: Remote): Promise<boolean> {
  try {
    await cancel(jobId, remote);
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}
