import { Database } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { readMeta } from "./meta.ts";
import { StoreError } from "./store-error.ts";
import { sync } from "./sync.ts";

export interface BackupPaths {
  readonly queue: string;
  readonly ledger: string;
  readonly dlq: string;
}

/** What a backup holds. */
export interface BackupSummary {
  readonly installation: string;
  /** The last batch of queue.db. */
  readonly seq: number;
  readonly jobs: number;
  readonly tasks: number;
}

/**
 * Copies the three stores into `folder` while a service works on them; only reads. The followers are copied first, and
 * pinned until queue.db is: a pinned follower cannot be made durable further, so the service keeps in its outbox all
 * that the copies of the followers miss. The first start on the copy gives it to them.
 * @throws StoreError if a store is missing or damaged, or the copies do not fit together
 */
export function copyStores(paths: BackupPaths, folder: string): BackupSummary {
  const pins = [pin(paths.ledger), pin(paths.dlq)];
  try {
    for (const store of ["ledger", "dlq", "queue"] as const) copyStore(paths[store], copyPath(folder, store));
  } finally {
    for (const pinned of pins) pinned.close();
  }
  return checkCopies(folder);
}

/** Where a copy lies: as in the default configuration. */
function copyPath(folder: string, store: keyof BackupPaths): string {
  return join(folder, store, `${store}.db`);
}

function openSource(path: string): Database {
  try {
    const db = new Database(path, { readonly: true, strict: true });
    db.query("SELECT count(*) FROM meta").get();
    return db;
  } catch (error) {
    throw new StoreError(path, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function pin(path: string): Database {
  const db = openSource(path);
  db.run("BEGIN");
  readMeta(db, "applied_seq");
  return db;
}

function copyStore(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  const db = openSource(from);
  try {
    db.query<never, [string]>("VACUUM INTO ?").run(to);
  } finally {
    db.close();
  }
  chmodSync(to, 0o600);
  sync(to);
  sync(dirname(to));
}

function checkCopies(folder: string): BackupSummary {
  const queue = openSource(copyPath(folder, "queue"));
  try {
    checkIntegrity(queue, copyPath(folder, "queue"));
    const installation = readMeta(queue, "installation");
    const trimmed = Number(readMeta(queue, "outbox_trimmed"));
    const seq = queue.query<{ seq: number | null }, []>("SELECT max(seq) AS seq FROM outbox").get()?.seq ?? trimmed;
    for (const store of ["ledger", "dlq"] as const) {
      const path = copyPath(folder, store);
      const db = openSource(path);
      try {
        checkIntegrity(db, path);
        const applied = Number(readMeta(db, "applied_seq"));
        if (readMeta(db, "installation") !== installation || applied < trimmed || applied > seq) {
          throw new StoreError(path, "does not fit the copy of queue.db; do the stores belong together?");
        }
      } finally {
        db.close();
      }
    }
    const count = (table: string) => queue.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
    return { installation, seq, jobs: count("jobs"), tasks: count("tasks") };
  } finally {
    queue.close();
  }
}

function checkIntegrity(db: Database, path: string): void {
  const row = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
  if (row?.integrity_check !== "ok") throw new StoreError(path, `is damaged: ${row?.integrity_check}`);
}
