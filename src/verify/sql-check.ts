import type { Database } from "bun:sqlite";
import { type Findings, LISTED_MAX } from "./findings.ts";

/** A rule as a query for its violations; each row has a `message`. */
export interface SqlCheck {
  readonly rule: string;
  readonly sql: string;
  /** A violation shows the loss of a row: a repair must not adapt counters to the rest. */
  readonly isLoss?: true;
  /** The first schema of ledger.db that has what the rule reads; absent: every schema. */
  readonly ledgerSchema?: number;
}

/**
 * A query for the counters that differ from a recount, with columns `counter` and `there` after the keys. Both queries
 * give the keys and then a number. A FULL JOIN would compare each row of one with all rows of the other.
 */
export function wrongCounters(keys: string, counters: string, recount: string): string {
  return `WITH counters (${keys}, n) AS (${counters}), recount (${keys}, n) AS (${recount})
    SELECT ${keys}, sum(counter) AS counter, sum(there) AS there
    FROM (SELECT ${keys}, n AS counter, NULL AS there FROM counters UNION ALL SELECT ${keys}, NULL, n FROM recount)
    GROUP BY ${keys} HAVING sum(counter) IS NOT sum(there)`;
}

export function runSqlChecks(db: Database, checks: readonly SqlCheck[], findings: Findings): void {
  const ledger = db.query<{ user_version: number }, []>("PRAGMA ledger.user_version").get()?.user_version ?? 0;
  for (const { rule, sql, isLoss, ledgerSchema = 0 } of checks) {
    if (ledger < ledgerSchema) continue;
    const rows = db.query<{ message: string }, [number]>(`SELECT message FROM (${sql}) LIMIT ?`).all(LISTED_MAX);
    for (const { message } of rows) findings.report(rule, message, isLoss);
  }
}
