import { type JobRecord, LOG_LEVELS, type QueuedTask } from "../../../src/jobs/stores/ledger-reads.ts";
import type { TaskRange } from "../../../src/jobs/stores/queue-control.ts";
import type { PoisonTask, RecoveredQueue } from "../../../src/jobs/stores/recovery.ts";
import type { Stores } from "../../../src/jobs/stores/service-stores.ts";
import { TASK_STATES, type TaskState } from "../../../src/jobs/task.ts";
import type { FakeClock } from "../../support/clock.ts";
import { present } from "../../support/sample-jobs.ts";

/** The stores of one backend, empty at first, which the test moves through time and through crashes. */
export interface BackendStores extends AsyncDisposable {
  readonly clock: FakeClock;
  /** Those of the current process; `reopen` and `crash` replace them. */
  readonly stores: Stores;
  readonly queue: Stores["queue"];
  readonly ledger: Stores["ledger"];
  readonly deadLetters: Stores["deadLetters"];
  /** Commits at once, so that no test waits for other changes to gather. */
  readonly now: <T>(work: Promise<T>) => Promise<T>;
  /** Ends the process in order, and starts the next one. */
  readonly reopen: () => Promise<void>;
  /** Ends the process as SIGKILL does, and starts the next one. Changes that still gather for a commit are lost. */
  readonly crash: () => Promise<void>;
  /** Compares every counter that the backend keeps with a recount, by means of its own. */
  readonly expectTrueCounters: () => Promise<void>;
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
