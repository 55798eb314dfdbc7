import type { QueueContext } from "./context.ts";

/** The hosts that most tasks wait for, and how many. */
export function readBusiestHosts({ db }: QueueContext, limit: number): Map<string, number> {
  const rows = db
    .query<{ host: string; tasks: number }, [number]>(
      "SELECT host, sum(waiting) AS tasks FROM lanes WHERE waiting > 0 GROUP BY host ORDER BY tasks DESC, host LIMIT ?",
    )
    .all(limit);
  return new Map(rows.map(({ host, tasks }) => [host, tasks]));
}

/** For how long the task that is due longest has been due, in milliseconds; 0 where none is. */
export function readOldestAgeMs({ db, clock }: QueueContext): number {
  const row = db
    .query<{ due: number }, []>("SELECT next_due AS due FROM lanes WHERE waiting > 0 ORDER BY next_due LIMIT 1")
    .get();
  return row === null ? 0 : Math.max(0, Math.round(clock.steady() - row.due));
}
