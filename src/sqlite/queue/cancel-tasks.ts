import type { Cancellations, RequestedCancellation, WaitingTask } from "../../jobs/stores/cancellations.ts";
import type { ClaimedTask } from "../../jobs/task.ts";
import type { Changes } from "../group-commit.ts";
import { decodeHistory, decodeTask } from "../task-codec.ts";
import { waitingState } from "./claim.ts";
import { type LaneListeners, notifyLanes, type QueueContext, shrinkLanes } from "./queue-context.ts";
import { cancelledEvent } from "./settle-task.ts";

interface WaitingRow {
  id: number;
  lane: number;
  attempts: number;
  may_have_stored: 0 | 1;
  payload: Uint8Array;
  history: Uint8Array | null;
}

const WAITING_COLUMNS = "id, lane, attempts, may_have_stored, payload, history";

/**
 * Marks a job as being cancelled: from the commit on none of its tasks is claimed. Returns `undefined` if the job has
 * ended or does not exist. Runs inside a transaction.
 */
function requestCancel(context: QueueContext, jobId: string, changes: Changes): RequestedCancellation | undefined {
  const job = context.db
    .query<{ seq: number; cancelling: 0 | 1 }, [string]>(
      "SELECT seq, cancelling FROM jobs WHERE job_id = ? AND status IN ('queued', 'in_progress')",
    )
    .get(jobId);
  if (job === null) return undefined;
  if (job.cancelling === 1) return { job: job.seq, isNew: false };
  context.db.query<never, [number]>("UPDATE jobs SET cancelling = 1 WHERE seq = ?").run(job.seq);
  changes.events.push({ at: context.clock.now(), job: job.seq, kind: { $case: "cancelRequested", value: {} } });
  changes.after("cache", () => context.jobs.cancelling.add(job.seq));
  return { job: job.seq, isNew: true };
}

/** Waiting tasks of a job with ids after `afterId`, in order of their ids. */
function readWaiting(context: QueueContext, job: number, afterId: number, limit: number): WaitingTask[] {
  return context.db
    .query<WaitingRow, [number, number, number]>(
      `SELECT ${WAITING_COLUMNS} FROM tasks WHERE job = ?1 AND available_at IS NOT NULL
         AND id > max(?2, (SELECT first_task - 1 FROM jobs WHERE seq = ?1))
         AND id <= (SELECT last_task FROM jobs WHERE seq = ?1) ORDER BY id LIMIT ?3`,
    )
    .all(job, afterId, limit)
    .map((row) => {
      const { id } = row;
      const mayHaveStored = row.may_have_stored === 1;
      return { id, jobId: context.jobs.get(job).jobId, task: decodeTask(row.payload), mayHaveStored };
    });
}

/** Cancels the given tasks of a job, as far as they still wait. Runs inside a transaction. */
function cancelWaiting(context: QueueContext, job: number, ids: readonly number[], changes: Changes): void {
  const waiting = context.db.query<WaitingRow, [number, number]>(
    `SELECT ${WAITING_COLUMNS} FROM tasks WHERE id = ? AND job = ? AND available_at IS NOT NULL`,
  );
  const end = context.db.query<never, [number]>(
    `UPDATE tasks SET state = 'cancelled', available_at = NULL, payload = x'', history = NULL, waiting_class = NULL,
       waiting_since = NULL WHERE id = ?`,
  );
  const lanes = new Map<number, number>();
  for (const id of ids) {
    const row = waiting.get(id, job);
    if (row === null) continue;
    end.run(id);
    lanes.set(row.lane, (lanes.get(row.lane) ?? 0) + 1);
    noteCancelled(context, job, row, changes);
  }
  shrinkLanes(context, [...lanes], changes);
}

function noteCancelled(context: QueueContext, job: number, row: WaitingRow, changes: Changes): void {
  const history: ClaimedTask["history"] = decodeHistory(row.history);
  changes.stateChanged(waitingState({ history }), -1);
  changes.addCount(job, "cancelled");
  const cancelled = { id: row.id, job: { seq: job }, task: decodeTask(row.payload), attempts: row.attempts, history };
  changes.events.push(cancelledEvent(cancelled, context.clock.now()));
}

export class JobCancellations implements Cancellations {
  readonly #context: QueueContext;
  readonly #listeners: LaneListeners;

  constructor(context: QueueContext, listeners: LaneListeners) {
    this.#context = context;
    this.#listeners = listeners;
  }

  onWaitingAgain(listener: (job: number) => void): void {
    this.#listeners.onWaitingAgain = listener;
  }

  async request(jobId: string): Promise<RequestedCancellation | undefined> {
    const requested = await this.#context.commit.run((changes) => requestCancel(this.#context, jobId, changes));
    if (requested !== undefined) await notifyLanes(this.#context, requested.job);
    return requested;
  }

  isCancelling(job: number): boolean {
    return this.#context.jobs.cancelling.has(job);
  }

  async cancelling(): Promise<number[]> {
    return [...this.#context.jobs.cancelling];
  }

  async waiting(job: number, afterId: number, limit: number): Promise<WaitingTask[]> {
    return readWaiting(this.#context, job, afterId, limit);
  }

  cancelWaiting(job: number, ids: readonly number[]): Promise<void> {
    return this.#context.commit.run((changes) => cancelWaiting(this.#context, job, ids, changes));
  }
}
