import type { JobSnapshot } from "../../api/openapi/schemas.ts";
import { systemClock } from "../../std/clock.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { secondText } from "../terminal/moments.ts";
import { table } from "../terminal/table.ts";
import { printable } from "../terminal/terminal-text.ts";
import { bytesText, counted, durationText } from "../terminal/units.ts";
import { answer, type Remote, type RemoteFlags } from "./remote-context.ts";

export interface JobsFlags extends RemoteFlags {
  readonly status?: string;
  readonly jobType?: string;
  readonly tenant?: string;
  readonly idempotencyKey?: string;
  readonly limit: string;
  readonly cursor?: string;
}

interface JobList {
  readonly jobs: readonly JobSnapshot[];
  readonly next_cursor: string | null;
}

const COLUMNS = [
  { title: "JOB", isElasticAtLast: true },
  { title: "STATUS" },
  { title: "TYPE", isElastic: true, expendable: 5 },
  { title: "TENANT", isElastic: true, expendable: 3 },
  { title: "STORED", isNumber: true },
  { title: "FAILED", isNumber: true, expendable: 1 },
  { title: "BYTES", isNumber: true, expendable: 4 },
  { title: "AGE", isNumber: true, expendable: 2 },
] as const;

export async function listJobs(flags: JobsFlags, remote: Remote): Promise<void> {
  const { status, jobType, tenant, idempotencyKey, limit, cursor } = flags;
  const query = { status, job_type: jobType, tenant, idempotency_key: idempotencyKey, limit, cursor };
  const list = await remote.client.get<JobList>("/operators/jobs", query);
  answer(remote, flags, list, ({ jobs, next_cursor: next }) => {
    if (jobs.length === 0) return "no jobs\n";
    const more = next === null ? "" : `more jobs follow: --cursor ${next}\n`;
    return table(COLUMNS, jobs.map(rowOf), remote.width) + more;
  });
}

/** Prints one job. Returns 1 for a job with failures. */
export async function showJob(jobId: string, flags: RemoteFlags, remote: Remote): Promise<ExitCode> {
  const job = await readJob(jobId, remote);
  answer(remote, flags, job, (shown) => jobText(shown, remote.width));
  return hasFailed(job) ? EXIT.failed : EXIT.done;
}

export function readJob(jobId: string, { client }: Remote): Promise<JobSnapshot> {
  return client.get<JobSnapshot>(`/operators/jobs/${encodeURIComponent(jobId)}`);
}

export function hasFailed({ status }: JobSnapshot): boolean {
  return status === "failed" || status === "partial" || status === "cancelled";
}

/** The progress of a job in one line. */
export function progressText(job: JobSnapshot): string {
  const parts = [`${job.resource_completed} of ${job.resource_total} stored`];
  if (job.resource_failed > 0) parts.push(`${job.resource_failed} failed`);
  if (job.resource_cancelled > 0) parts.push(`${job.resource_cancelled} cancelled`);
  return `${parts.join(", ")}, ${bytesText(job.bytes_stored)}`;
}

function rowOf(job: JobSnapshot): string[] {
  return [
    job.job_id,
    job.status,
    job.job_type,
    job.tenant,
    `${job.resource_completed}/${job.resource_total}`,
    String(job.resource_failed),
    bytesText(job.bytes_stored),
    durationText((systemClock.now() - Date.parse(job.created_at)) / 1000),
  ];
}

function jobText(job: JobSnapshot, width: number | undefined): string {
  const lines = [
    `job      ${job.job_id}`,
    `status   ${job.status}: ${progressText(job)}`,
    `type     ${job.job_type}, tenant ${job.tenant}`,
    `manifest ${printable(job.manifest_key)}`,
    `created  ${secondText(job.created_at)}`,
    `${job.completed_at === null ? "updated " : "ended   "} ${secondText(job.completed_at ?? job.updated_at)}`,
    `log      ${counted(job.log_count, "row")}`,
  ];
  if (job.errors.length === 0) return `${lines.join("\n")}\n`;
  const columns = [
    { title: "RESOURCE", isElastic: true },
    { title: "FAILURE", isElasticAtLast: true },
    { title: "ATTEMPTS", isNumber: true, expendable: 1 },
    { title: "MESSAGE", isText: true, isElastic: true },
  ] as const;
  const rows = job.errors.map(({ resource_id, code, attempts, message }) => [
    resource_id,
    code,
    String(attempts),
    message,
  ]);
  const more = job.errors_truncated ? `more failures: fetchbox dlq list --job-id ${job.job_id}\n` : "";
  return `${lines.join("\n")}\n\n${table(columns, rows, width)}${more}`;
}
