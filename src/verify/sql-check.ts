import type { Database } from "bun:sqlite";
import { type Findings, LISTED_MAX } from "./findings.ts";

/** A rule as a query for its violations; each row has a `message`. */
export interface SqlCheck {
  readonly rule: string;
  readonly sql: string;
  /** A violation shows the loss of a row: a repair must not adapt counters to the rest. */
  readonly isLoss?: true;
}

export function runSqlChecks(db: Database, checks: readonly SqlCheck[], findings: Findings): void {
  for (const { rule, sql, isLoss } of checks) {
    const rows = db.query<{ message: string }, [number]>(`SELECT message FROM (${sql}) LIMIT ?`).all(LISTED_MAX);
    for (const { message } of rows) findings.report(rule, message, isLoss);
  }
}
