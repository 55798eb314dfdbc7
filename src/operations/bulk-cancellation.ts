import { setImmediate } from "node:timers/promises";
import type { JobFilter, JobRecord, LedgerReads } from "../jobs/stores/ledger-reads.ts";
import type { CancelOutcome } from "./cancellation.ts";

/** The statuses of jobs that can be cancelled. */
export const CANCELLABLE = ["queued", "in_progress"] as const;

type Cancellable = (typeof CANCELLABLE)[number];

/** Jobs to cancel, by their properties. */
export interface CancelFilter extends Pick<JobFilter, "jobType" | "tenant" | "since" | "until"> {
  readonly status?: Cancellable | undefined;
}

interface CancelJobsDeps {
  readonly ledger: Pick<LedgerReads, "bringUpToDate" | "findJob" | "listJobs">;
  readonly cancel: (jobId: string) => Promise<CancelOutcome>;
}

interface CancelledJobs {
  /** Jobs that had not ended when they were read. */
  readonly matched: number;
  /** Those of them that were not being cancelled already. */
  readonly cancelled: number;
}

/** Jobs of one commit. Other work has a turn between two commits. */
const BATCH = 200;

/**
 * Cancels the jobs with some ids, or all that match a filter, downwards by their numbers: later jobs stay out. A job
 * that has ended is left out. With `dryRun` it only counts. An abort of `signal` ends it early.
 */
export async function cancelJobs(
  jobs: readonly string[] | CancelFilter,
  { dryRun, signal }: { readonly dryRun: boolean; readonly signal: AbortSignal },
  deps: CancelJobsDeps,
): Promise<CancelledJobs> {
  let matched = 0;
  let cancelled = 0;
  await deps.ledger.bringUpToDate();
  for await (const batch of isIds(jobs) ? batchesOfIds(jobs, deps) : batchesOfFilter(jobs, deps)) {
    matched += batch.length;
    if (!dryRun) {
      const done = await Promise.all(batch.map(({ jobId }) => deps.cancel(jobId)));
      cancelled += done.filter((outcome) => outcome === "new").length;
    }
    await setImmediate(); // a turn for other work
    signal.throwIfAborted();
  }
  return { matched, cancelled };
}

async function* batchesOfIds(ids: readonly string[], { ledger }: CancelJobsDeps): AsyncGenerator<JobRecord[]> {
  const all = [...new Set(ids)];
  for (let from = 0; from < all.length; from += BATCH) {
    const found = await Promise.all(all.slice(from, from + BATCH).map((id) => ledger.findJob(id)));
    yield found.filter((job) => job !== undefined).filter(isCancellable);
  }
}

async function* batchesOfFilter(
  { status, ...filter }: CancelFilter,
  { ledger }: CancelJobsDeps,
): AsyncGenerator<JobRecord[]> {
  for (let before = Number.MAX_SAFE_INTEGER; ; ) {
    const found = new Map<number, JobRecord>();
    // In this order a job that starts between the reads is in both lists, and not in neither.
    for (const one of status === undefined ? CANCELLABLE : [status]) {
      for (const job of await ledger.listJobs({ ...filter, status: one }, before, BATCH)) found.set(job.seq, job);
    }
    const batch = [...found.values()].toSorted((a, b) => b.seq - a.seq).slice(0, BATCH);
    const last = batch.at(-1);
    if (last === undefined) return;
    yield batch;
    before = last.seq;
  }
}

function isIds(jobs: readonly string[] | CancelFilter): jobs is readonly string[] {
  return Array.isArray(jobs);
}

function isCancellable({ status }: JobRecord): boolean {
  return CANCELLABLE.some((one) => one === status);
}
