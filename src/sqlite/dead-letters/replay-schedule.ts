import { readMeta, writeMeta } from "../file/meta.ts";
import { NEXT_DUE, type QueueContext } from "../queue/queue-context.ts";

/** Notes the time of the last task that replays at a rate have scheduled. Runs inside a transaction. */
export function noteReplaySchedule({ db, clock }: QueueContext, dueAt: readonly number[]): void {
  const until = Math.max(...dueAt);
  if (until > clock.steady() && until > readUntil(db)) writeMeta(db, "paced_until", String(until));
}

/**
 * Shifts scheduled replays after a time, from `since` on, in which no task could start. The first one becomes due now,
 * and the others keep their distance to it, so that the rate holds. Runs inside a transaction.
 */
export function resumeReplaySchedule({ db, clock }: QueueContext, since: number): void {
  const until = readUntil(db);
  if (until <= since) return;
  const now = clock.steady();
  // This reads all waiting tasks, but only if such a replay was under way.
  const first = db
    .query<{ due: number | null }, [number]>(`SELECT min(available_at) AS due ${SCHEDULED_REPLAYS}`)
    .get(since);
  const lateMs = now - (first?.due ?? now);
  if (lateMs <= 0) return;
  const moved = db
    .query<{ lane: number }, [number, number]>(
      `UPDATE tasks SET available_at = available_at + ?2 WHERE id IN (SELECT id ${SCHEDULED_REPLAYS}) RETURNING lane`,
    )
    .all(since, lateMs);
  const lanes = JSON.stringify([...new Set(moved.map(({ lane }) => lane))]);
  db.query<never, [string]>(`UPDATE lanes SET next_due = ${NEXT_DUE} WHERE id IN (SELECT value FROM json_each(?))`).run(
    lanes,
  );
  // The rest of a running replay follows the tasks that it has requeued.
  db.query<never, [number]>(
    "UPDATE letter_operations SET due_from = due_from + ? WHERE state = 'running' AND rate_per_second IS NOT NULL",
  ).run(lateMs);
  writeMeta(db, "paced_until", String(until + lateMs));
}

/** Replayed tasks without an attempt since, due from a given time on. */
const SCHEDULED_REPLAYS = `FROM tasks WHERE state = 'retrying' AND attempts = 0 AND waiting_class IS NULL AND available_at >= ?1`;

function readUntil(db: QueueContext["db"]): number {
  return Number(readMeta(db, "paced_until"));
}
