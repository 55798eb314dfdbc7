import type { Database } from "bun:sqlite";
import { type Findings, LISTED_MAX } from "./findings.ts";

/** A rule as a query for its breaches: each row has a `message`. */
export interface SqlCheck {
  readonly rule: string;
  readonly sql: string;
  /** A row is lost: counters must not be made to fit what is left. */
  readonly isLoss?: true;
}

export function runSqlChecks(db: Database, checks: readonly SqlCheck[], findings: Findings): void {
  for (const { rule, sql, isLoss } of checks) {
    const rows = db.query<{ message: string }, [number]>(`SELECT message FROM (${sql}) LIMIT ?`).all(LISTED_MAX);
    for (const { message } of rows) findings.breach(rule, message, isLoss);
  }
}
