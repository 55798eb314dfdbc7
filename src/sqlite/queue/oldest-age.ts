import type { QueueContext } from "./queue-context.ts";
import { STARTED } from "./started-tasks.ts";

/** Lanes that are looked at, at most: a few milliseconds. */
const LOOKS_MAX = 5000;

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
      `SELECT min(claimed_at) AS due FROM tasks WHERE claim_id IS NOT NULL AND id NOT IN (${STARTED})`,
    )
    .get();
  const due = Math.min(waiting?.due ?? Number.POSITIVE_INFINITY, claimed?.due ?? Number.POSITIVE_INFINITY);
  return due === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Math.round(clock.steady() - due));
}

/** The first due of the hosts that are asked for: see `TaskQueue.nextDueMs`. */
export function readNextDueMs({ db, clock }: QueueContext, isAskedFor: (host: string) => boolean): number | undefined {
  const lanes = db.query<{ due: number; host: string }, [number]>(
    "SELECT next_due AS due, host FROM lanes WHERE waiting > 0 ORDER BY next_due, id LIMIT ?",
  );
  for (const limit of [1, LOOKS_MAX]) {
    const first = lanes.all(limit).find(({ host }) => isAskedFor(host));
    if (first !== undefined) return Math.max(0, first.due - clock.steady());
  }
  return undefined;
}
