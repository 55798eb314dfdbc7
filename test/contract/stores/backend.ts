import type { JobHeader, JobStatus } from "../../../src/jobs/job.ts";
import type { DeadLetterReads } from "../../../src/jobs/stores/dead-letter-reads.ts";
import {
  type JobRecord,
  type LedgerReads,
  LOG_LEVELS,
  type QueuedTask,
} from "../../../src/jobs/stores/ledger-reads.ts";
import type { TaskRange } from "../../../src/jobs/stores/queue-control.ts";
import type { QueueParts } from "../../../src/jobs/stores/queue-parts.ts";
import type { PoisonTask, RecoveredQueue } from "../../../src/jobs/stores/recovery.ts";
import type { DeadLetterRetention, LedgerRetention } from "../../../src/jobs/stores/retained-stores.ts";
import { TASK_STATES, type TaskState } from "../../../src/jobs/task.ts";
import type { FakeClock } from "../../support/clock.ts";
import { present } from "../../support/sample-jobs.ts";

/** The stores of one backend, empty at first, which the test moves through time and through crashes. */
export interface BackendStores extends AsyncDisposable {
  readonly clock: FakeClock;
  /** The parts of the current process; `reopen` and `crash` replace them. */
  readonly queue: QueueParts;
  readonly ledger: LedgerReads & LedgerRetention;
  readonly deadLetters: DeadLetterReads & DeadLetterRetention;
  /** Commits at once, so that no test waits for other changes to gather. */
  now<T>(work: Promise<T>): Promise<T>;
  /** Ends the process in order, and starts the next one. */
  reopen(): Promise<void>;
  /** Ends the process as SIGKILL does, and starts the next one. Changes that still gather for a commit are lost. */
  crash(): Promise<void>;
  /** Makes durable what the ledger and the dead letters took in. False if one of them cannot be written. */
  makeDurable(): Promise<boolean>;
  /** Notes a second stop signal: the end of this process is no crash. */
  abandon(): void;
  /** Calls `listener` after the commit that ended a job. */
  onFinished(listener: (job: JobHeader, status: JobStatus) => void): void;
  /** Compares every counter that the backend keeps with a recount, by means of its own. */
  expectTrueCounters(): Promise<void>;
}

export type OpenBackend = () => Promise<BackendStores>;

/** Recovers as a start does, and also returns the tasks that were poison. */
export async function recover(
  stores: BackendStores,
  storesLate = false,
): Promise<RecoveredQueue & { readonly poison: PoisonTask[] }> {
  const poison: PoisonTask[] = [];
  const recovered = await stores.queue.recover((task) => {
    poison.push(task);
    return Promise.resolve();
  }, storesLate);
  return { ...recovered, poison };
}

/** The tasks of a job that the queue holds, in all states. */
export async function tasksOf(
  { queue }: Pick<BackendStores, "queue">,
  job: TaskRange["job"],
  states: readonly TaskState[] = TASK_STATES,
): Promise<QueuedTask[]> {
  return await queue.control.tasksOfJob({ job, afterId: 0, limit: 100_000 }, states);
}

/** A job as the ledger shows it, which it must. */
export async function jobOf({ ledger }: Pick<BackendStores, "ledger">, jobId: string): Promise<JobRecord> {
  return present(await ledger.findJob(jobId));
}

/** Commits some changes together. Returns how each ended, in order. */
export async function outcomesOf(
  stores: Pick<BackendStores, "now">,
  works: readonly Promise<unknown>[],
): Promise<string[]> {
  return (await stores.now(Promise.allSettled(works))).map(({ status }) => status);
}

/** All that can be read of one job, and of the tasks under way. */
export async function everythingOf(stores: BackendStores, jobId: string): Promise<unknown> {
  const { ledger, queue, deadLetters } = stores;
  await ledger.bringUpToDate();
  const job = await jobOf(stores, jobId);
  return {
    job,
    tasks: await tasksOf(stores, job),
    results: await ledger.results(job, 0, 1000),
    logs: await ledger.logs(job, 0, 1000, LOG_LEVELS),
    deadLetters: await deadLetters.full({ jobId }, Number.MAX_SAFE_INTEGER, 1000),
    lanes: await queue.source.lanes(1000),
    depth: await queue.control.depth(),
    orphans: await queue.orphans.counts(),
  };
}
