import { Database } from "bun:sqlite";
import { readFileSync, renameSync } from "node:fs";
import { join } from "node:path";

const FIRST_SCHEMA = join(import.meta.dir, "../../src/sqlite/migrations/ledger-001.sql");

/** Makes a closed ledger.db one that the first schema was the newest for, with the rows that it has. */
export function ageLedger(path: string): void {
  const old = new Database(`${path}.old`, { create: true, strict: true });
  old.run("PRAGMA auto_vacuum = INCREMENTAL");
  old.run("PRAGMA journal_mode = WAL");
  old.run(readFileSync(FIRST_SCHEMA, "utf8"));
  old.query<never, [string]>("ATTACH ? AS current").run(path);
  const { application_id: owner } = old
    .query<{ application_id: number }, []>("PRAGMA current.application_id")
    .get() ?? { application_id: 0 };
  old.run(`PRAGMA main.application_id = ${owner}`);
  old.run("PRAGMA main.user_version = 1");
  const tables = old.query<{ name: string }, []>("SELECT name FROM main.sqlite_schema WHERE type = 'table'").all();
  for (const { name } of tables) {
    const columns = old.query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?, 'main')").all(name);
    const list = columns.map((column) => `"${column.name}"`).join(", ");
    old.run(`INSERT OR REPLACE INTO main.${name} (${list}) SELECT ${list} FROM current.${name}`);
  }
  old.close();
  renameSync(`${path}.old`, path);
}
