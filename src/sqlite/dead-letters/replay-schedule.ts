import { readMeta, writeMeta } from "../file/meta.ts";
import type { QueueContext } from "../queue/queue-context.ts";

/** Notes until when replays at a rate have tasks that become due one after the other. Runs inside a transaction. */
export function noteReplaySchedule({ db, clock }: QueueContext, dueAt: readonly number[]): void {
  const until = Math.max(...dueAt);
  if (until > clock.steady() && until > readUntil(db)) writeMeta(db, "paced_until", String(until));
}

/**
 * Time in which nothing could begin, `since` on, does not count against a rate: what replays would have sent meanwhile
 * moves on, the first to now, and the rest as far behind it as before. Runs inside a transaction.
 */
export function resumeReplaySchedule({ db, clock }: QueueContext, since: number): void {
  const until = readUntil(db);
  if (until <= since) return;
  const now = clock.steady();
  // Reads all tasks that wait; but only where such a replay was under way.
  const first = db.query<{ due: number | null }, [number]>(`SELECT min(available_at) AS due ${PACED}`).get(since);
  const lateMs = now - (first?.due ?? now);
  if (lateMs <= 0) return;
  db.query<never, [number, number]>(
    `UPDATE tasks SET available_at = available_at + ?2 WHERE id IN (SELECT id ${PACED})`,
  ).run(since, lateMs);
  // What is left of a replay follows what it has put back.
  db.query<never, [number]>(
    "UPDATE letter_operations SET due_from = due_from + ? WHERE state = 'running' AND rate_per_second IS NOT NULL",
  ).run(lateMs);
  writeMeta(db, "paced_until", String(until + lateMs));
}

/** Tasks that were replayed and not tried since, and were to be tried from a time on. */
const PACED = `FROM tasks WHERE state = 'retrying' AND attempts = 0 AND waiting_class IS NULL AND available_at >= ?1`;

function readUntil(db: QueueContext["db"]): number {
  return Number(readMeta(db, "paced_until"));
}
