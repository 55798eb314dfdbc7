import type { Database, SQLQueryBindings } from "bun:sqlite";

/** Rows in one statement; for many rows this is three times as fast as single inserts. */
const ROWS_AT_ONCE = [50, 10, 1];

/**
 * Inserts rows of equal length, many by one statement. `into` is the statement up to `VALUES`, `values` the values of
 * one row in parentheses.
 */
export function insertRows(
  db: Database,
  into: string,
  values: string,
  rows: readonly (readonly Exclude<SQLQueryBindings, Record<string, unknown>>[])[],
): void {
  let at = 0;
  for (const count of ROWS_AT_ONCE) {
    if (rows.length - at < count) continue;
    const insert = db.query(`${into} VALUES ${Array.from({ length: count }, () => values).join(", ")}`);
    for (; rows.length - at >= count; at += count) insert.run(...rows.slice(at, at + count).flat());
  }
}
