import { Database } from "bun:sqlite";

/** Makes a closed queue.db one that the first schema was the newest for, with the rows that it has. */
export function ageQueue(path: string): void {
  const db = new Database(path, { readwrite: true, create: false });
  db.run("DROP TABLE orphans");
  db.run("ALTER TABLE letter_operations DROP COLUMN started_by");
  db.run("ALTER TABLE tasks DROP COLUMN crash_times");
  db.run("ALTER TABLE tasks RENAME COLUMN may_have_stored TO interrupted");
  db.run("UPDATE tasks SET interrupted = 0");
  db.run("PRAGMA user_version = 1");
  db.close();
}
