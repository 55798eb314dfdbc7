import type { QueuedTask } from "../../jobs/stores/ledger-reads.ts";
import type {
  Depth,
  Pause,
  QueueControl,
  TaskRange,
  WaitingHosts,
  WaitingHostsPart,
} from "../../jobs/stores/queue-control.ts";
import type { TaskState } from "../../jobs/task.ts";
import type { Outbox } from "../outbox.ts";
import { decodeHistory, decodeTask } from "../task-codec.ts";
import { readDepth } from "./depth.ts";
import { isPaused, readPause, timeBefore, writePaused } from "./pause.ts";
import { type QueueContext, WAITING_LANES } from "./queue-context.ts";
import { STARTED } from "./started-tasks.ts";
import { readBusiestHosts, readWaitingHosts, readWaitingOf } from "./waits.ts";

export class QueueState implements QueueControl {
  readonly #context: QueueContext;
  readonly #outbox: Pick<Outbox, "deliver">;

  constructor(context: QueueContext, outbox: Pick<Outbox, "deliver">) {
    this.#context = context;
    this.#outbox = outbox;
  }

  isPaused(): boolean {
    return isPaused(this.#context);
  }

  pause(): Pause | undefined {
    return readPause(this.#context);
  }

  setPaused(paused: boolean, by: string | null = null): Promise<number> {
    return this.#context.commit.run(() => writePaused(this.#context, paused, by));
  }

  timeBefore(ms: number): number {
    return timeBefore(this.#context, ms);
  }

  async depth(): Promise<Depth> {
    this.#outbox.deliver();
    return readDepth(this.#context);
  }

  async oldestPendingAgeMs(): Promise<number> {
    return readOldestAgeMs(this.#context);
  }

  async nextDueMs(isAskedFor: (host: string) => boolean = () => true): Promise<number | undefined> {
    return readNextDueMs(this.#context, isAskedFor);
  }

  async busiestHosts(limit: number): Promise<Map<string, number>> {
    return readBusiestHosts(this.#context, limit);
  }

  async waitingHosts(part: WaitingHostsPart): Promise<WaitingHosts> {
    return readWaitingHosts(this.#context, part);
  }

  async waitingOf(hosts: readonly string[]): Promise<Map<string, number>> {
    return readWaitingOf(this.#context, hosts);
  }

  async waitingForBucket(bucket: string, lanesMax: number): Promise<number | undefined> {
    return readWaitingForBucket(this.#context, bucket, lanesMax);
  }

  async tasksOfJob(range: TaskRange, states: readonly TaskState[]): Promise<QueuedTask[]> {
    return readTasksOfJob(this.#context, range, states);
  }
}

/** Lanes that one search reads at most: it takes a few milliseconds. */
const LOOKS_MAX = 5000;

/**
 * The longest time that a task has been due, in milliseconds; 0 if none is due. A claimed task that no worker has
 * started counts from its claim.
 */
function readOldestAgeMs({ db, clock }: QueueContext): number {
  const waiting = db.query<{ next_due: number }, []>(`${WAITING_LANES} ORDER BY l.next_due, l.id LIMIT 1`).get();
  const claimed = db
    .query<{ due: number | null }, []>(
      `SELECT min(claimed_at) AS due FROM tasks WHERE claim_id IS NOT NULL AND id NOT IN (${STARTED})`,
    )
    .get();
  const due = Math.min(waiting?.next_due ?? Number.POSITIVE_INFINITY, claimed?.due ?? Number.POSITIVE_INFINITY);
  return due === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Math.round(clock.steady() - due));
}

/** The time until the first task of the wanted hosts is due: see `QueueControl.nextDueMs`. */
function readNextDueMs({ db, clock }: QueueContext, isAskedFor: (host: string) => boolean): number | undefined {
  const lanes = db.query<{ next_due: number; host: string }, [number]>(
    `${WAITING_LANES} ORDER BY l.next_due, l.id LIMIT ?`,
  );
  for (const limit of [1, LOOKS_MAX]) {
    const first = lanes.all(limit).find(({ host }) => isAskedFor(host));
    if (first !== undefined) return Math.max(0, first.next_due - clock.steady());
  }
  return undefined;
}

/** The number of tasks that wait for a bucket; `undefined` if more than `lanesMax` lanes wait. */
function readWaitingForBucket({ db }: QueueContext, bucket: string, lanesMax: number): number | undefined {
  const row = db
    .query<{ lanes: number; tasks: number }, [string, number]>(
      `SELECT count(*) AS lanes, coalesce(sum(waiting) FILTER (WHERE bucket = ?), 0) AS tasks
       FROM (${WAITING_LANES} LIMIT ?)`,
    )
    .get(bucket, lanesMax + 1);
  return row === null || row.lanes > lanesMax ? undefined : row.tasks;
}

/** The state that readers see: a claimed task that no worker has started still waits. */
const SHOWN_STATE = `CASE WHEN state <> 'running' OR id IN (${STARTED}) THEN state
  WHEN history IS NULL THEN 'pending' ELSE 'retrying' END`;

/** Tasks of one job with ids after `afterId`, in order of their ids. */
function readTasksOfJob(
  context: QueueContext,
  { job, afterId, limit }: TaskRange,
  states: readonly TaskState[],
): QueuedTask[] {
  const rows = context.db
    .query<
      { id: number; state: TaskState; attempts: number; payload: Uint8Array; history: Uint8Array | null },
      [number, number, number, string, number]
    >(
      `SELECT id, shown AS state, attempts, payload, history FROM
         (SELECT *, ${SHOWN_STATE} AS shown FROM tasks WHERE id > ? AND id <= ? AND job = ?)
       WHERE shown IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?`,
    )
    .all(Math.max(afterId, job.firstTask - 1), job.lastTask, job.seq, JSON.stringify(states), limit);
  return rows.map((row) => ({
    id: row.id,
    state: row.state,
    attempts: row.attempts,
    task: row.payload.length === 0 ? undefined : decodeTask(row.payload),
    history: decodeHistory(row.history),
  }));
}
