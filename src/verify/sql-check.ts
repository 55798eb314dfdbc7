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

export function runSqlChecks(db: Database, checks: readonly SqlCheck[], findings: Findings): void {
  const ledger = db.query<{ user_version: number }, []>("PRAGMA ledger.user_version").get()?.user_version ?? 0;
  for (const { rule, sql, isLoss, ledgerSchema = 0 } of checks) {
    if (ledger < ledgerSchema) continue;
    const rows = db.query<{ message: string }, [number]>(`SELECT message FROM (${sql}) LIMIT ?`).all(LISTED_MAX);
    for (const { message } of rows) findings.report(rule, message, isLoss);
  }
}
