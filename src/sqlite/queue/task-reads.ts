import { type QueuedTask } from "../../jobs/stores/ledger-reads.ts";
import type { TaskState } from "../../jobs/task.ts";
import { decodeHistory, decodeTask } from "../task-codec.ts";
import type { QueueContext } from "./queue-context.ts";
import { STARTED } from "./started-tasks.ts";

/** A claim that no worker has begun with is none to who looks: the task still waits. */
const SHOWN_STATE = `CASE WHEN state <> 'running' OR id IN (${STARTED}) THEN state
  WHEN history IS NULL THEN 'pending' ELSE 'retrying' END`;

/** Tasks of one job with ids after `afterId`, in order of their ids. */
export function readTasksOfJob(
  context: QueueContext,
  job: { readonly seq: number; readonly firstTask: number; readonly lastTask: number },
  afterId: number,
  limit: number,
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
