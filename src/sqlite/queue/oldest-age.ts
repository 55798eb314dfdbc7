import { BEGUN } from "./begun.ts";
import type { QueueContext } from "./context.ts";

/**
 * For how long the task that is due longest has been due, in milliseconds; 0 where none is. Of those that were claimed
 * and that no worker has begun with, since they were claimed.
 */
export function readOldestAgeMs({ db, clock }: QueueContext): number {
  const waiting = db
    .query<{ due: number }, []>("SELECT next_due AS due FROM lanes WHERE waiting > 0 ORDER BY next_due LIMIT 1")
    .get();
  const claimed = db
    .query<{ due: number | null }, []>(
      `SELECT min(claimed_at) AS due FROM tasks WHERE claim_id IS NOT NULL AND id NOT IN (${BEGUN})`,
    )
    .get();
  const due = Math.min(waiting?.due ?? Number.POSITIVE_INFINITY, claimed?.due ?? Number.POSITIVE_INFINITY);
  return due === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Math.round(clock.steady() - due));
}

/** In how many milliseconds the first waiting task is due; 0 where one is due now, `undefined` where none waits. */
export function readNextDueMs({ db, clock }: QueueContext): number | undefined {
  const first = db
    .query<{ due: number }, []>("SELECT next_due AS due FROM lanes WHERE waiting > 0 ORDER BY next_due LIMIT 1")
    .get();
  return first === null ? undefined : Math.max(0, first.due - clock.steady());
}
