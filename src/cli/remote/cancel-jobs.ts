import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { UsageError } from "../exit-code.ts";
import { jsonLine } from "../terminal/terminal-text.ts";
import { counted } from "../terminal/units.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

export interface CancelFlags extends RemoteFlags {
  readonly jobType?: string;
  readonly tenant?: string;
  readonly status?: string;
  readonly all?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

interface CancelledAnswer {
  readonly matched: number;
  readonly cancelled: number;
}

interface JobList {
  readonly jobs: readonly JobSnapshot[];
  readonly next_cursor: string | null;
}

/** The statuses in which a job can be cancelled. */
const UNFINISHED = ["queued", "in_progress"] as const;
const PAGE = 1000;
/** Jobs of one request, which takes a second at most. */
const BATCH = 200;

/** Cancels one job by its id, or every unfinished job that matches a filter. */
export async function cancelJobs(jobId: string | undefined, flags: CancelFlags, remote: Remote): Promise<void> {
  const { jobType, tenant, status, all } = flags;
  const hasFilter = [jobType, tenant, status].some((value) => value !== undefined);
  if ([jobId !== undefined, hasFilter, all === true].filter(Boolean).length !== 1) {
    throw new UsageError("name the jobs by one of: a job id, filters like --job-type, or --all");
  }
  if (jobId === undefined) return await cancelByFilter(flags, remote);
  if (flags.dryRun === true) throw new UsageError("--dry-run needs a filter or --all, not a job id");
  const job = await cancel(jobId, remote);
  answer(remote, flags, job, () => `cancelling job ${job.job_id}; its status was ${job.status}\n`);
}

async function cancelByFilter(flags: CancelFlags, remote: Remote): Promise<void> {
  const jobs = await unfinishedJobs(flags, remote);
  const left = jobs.reduce((sum, job) => sum + leftOf(job), 0);
  const found = `${counted(jobs.length, "job")} with ${counted(left, "unfinished resource")}`;
  if (flags.dryRun === true || jobs.length === 0) {
    return report({ matched: jobs.length, cancelled: 0 }, `${found}: nothing was cancelled\n`, flags, remote);
  }
  if (flags.yes !== true) {
    if (!canAsk()) throw new UsageError(`the filter matches ${found}; add --yes to cancel, or --dry-run to only count`);
    if (!isConfirmed(`cancel ${found}?`)) {
      return report({ matched: jobs.length, cancelled: 0 }, "nothing was cancelled\n", flags, remote);
    }
  }
  if (flags.json !== true) remote.out(`cancelling ${found}\n`);
  const { matched, cancelled } = await cancelAll(jobs, remote);
  const [ended, before] = [jobs.length - matched, matched - cancelled];
  const outcome = [
    `${counted(cancelled, "job")} cancelled`,
    ...(ended === 0 ? [] : [`${counted(ended, "job")} had already ended`]),
    ...(before === 0 ? [] : [`${counted(before, "job")} ${before === 1 ? "was" : "were"} already being cancelled`]),
  ].join("; ");
  report({ matched: jobs.length, cancelled }, `${outcome}\n`, flags, remote);
}

/** The jobs that had not ended by then, and those of them that this cancels: others were being cancelled already. */
async function cancelAll(jobs: readonly JobSnapshot[], { client }: Remote): Promise<CancelledAnswer> {
  let [matched, cancelled] = [0, 0];
  for (let from = 0; from < jobs.length; from += BATCH) {
    const job_ids = jobs.slice(from, from + BATCH).map(({ job_id }) => job_id);
    const answer = await client.post<CancelledAnswer>("/operators/jobs/cancel", { job_ids });
    matched += answer.matched;
    cancelled += answer.cancelled;
  }
  return { matched, cancelled };
}

function report(result: { matched: number; cancelled: number }, text: string, { json }: CancelFlags, { out }: Remote) {
  out(json === true ? jsonLine(result) : text);
}

/** All matching jobs, listed before the first is cancelled: a list that changes between its pages can miss jobs. */
async function unfinishedJobs({ jobType, tenant, status }: CancelFlags, { client }: Remote): Promise<JobSnapshot[]> {
  const jobs: JobSnapshot[] = [];
  for (const each of statusesOf(status)) {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const query = { status: each, job_type: jobType, tenant, limit: PAGE, cursor };
      const list: JobList = await client.get<JobList>("/operators/jobs", query);
      jobs.push(...list.jobs);
      cursor = list.next_cursor;
    }
  }
  // A job that starts between the two lists is in both.
  return [...new Map(jobs.map((job) => [job.job_id, job])).values()];
}

function statusesOf(status: string | undefined): readonly string[] {
  if (status === undefined) return UNFINISHED;
  if (UNFINISHED.some((each) => each === status)) return [status];
  throw new UsageError(`--status must be ${UNFINISHED.join(" or ")}: other jobs have ended`);
}

function leftOf(job: JobSnapshot): number {
  return job.resource_total - job.resource_completed - job.resource_failed - job.resource_cancelled;
}

/** Whether a person can answer a question. */
function canAsk(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY;
}

function isConfirmed(question: string): boolean {
  return /^y(es)?$/i.test((prompt(`${question} [y/N]`) ?? "").trim());
}

function cancel(jobId: string, { client }: Remote): Promise<JobSnapshot> {
  return client.post<JobSnapshot>(`/operators/jobs/${encodeURIComponent(jobId)}/cancel`);
}
