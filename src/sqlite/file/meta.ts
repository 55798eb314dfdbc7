import type { Database } from "bun:sqlite";

/** A value that a store keeps by name; empty if it has none. */
export function readMeta(db: Database, name: string): string {
  return db.query<{ value: string }, [string]>("SELECT value FROM meta WHERE name = ?").get(name)?.value ?? "";
}

export function writeMeta(db: Database, name: string, value: string): void {
  db.query<never, [string, string]>("INSERT OR REPLACE INTO meta VALUES (?, ?)").run(name, value);
}
