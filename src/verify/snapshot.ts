import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../jobs/clock.ts";
import { StoreError } from "../sqlite/store-error.ts";

export interface StorePaths {
  readonly queue: string;
  readonly ledger: string;
  readonly dlq: string;
}

/** The three stores as they were at one moment, for reading; `main` is queue.db. */
export interface Snapshot extends Disposable {
  readonly db: Database;
  /** Batches of queue.db's outbox that the ledger or the dead letters do not hold. */
  readonly behind: number;
  readonly installation: string;
}

/** A commit reaches the followers within a millisecond or two. */
const TRIES = 200;
const PAUSE_MS = 5;

/** The files, by the folders of the configuration. */
export function storePaths(folders: { queuePath: string; ledgerPath: string; dlqPath: string }): StorePaths {
  return {
    queue: join(folders.queuePath, "queue.db"),
    ledger: join(folders.ledgerPath, "ledger.db"),
    dlq: join(folders.dlqPath, "dlq.db"),
  };
}

/**
 * Opens the stores for reading, whether a service works on them or not: it is not held up, and nothing is changed. Tries
 * for a while to find a moment at which the followers hold what queue.db decided.
 * @throws StoreError if a store is missing or cannot be read
 */
export async function openSnapshot(paths: StorePaths, clock: Clock): Promise<Snapshot> {
  const db = openAttached(paths);
  try {
    for (let tries = 1; ; tries++) {
      db.run("BEGIN");
      const behind = batchesBehind(db);
      if (behind === 0 || tries === TRIES) {
        return { db, behind, installation: installationOf(db, "main"), [Symbol.dispose]: () => db.close() };
      }
      db.run("ROLLBACK");
      await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
    }
  } catch (error) {
    db.close();
    throw error;
  }
}

export function installationOf(db: Database, store: "main" | "ledger" | "dlq"): string {
  const row = db.query<{ value: string }, []>(`SELECT value FROM ${store}.meta WHERE name = 'installation'`).get();
  return row?.value ?? "";
}

function openAttached(paths: StorePaths): Database {
  for (const path of Object.values(paths)) {
    if (!existsSync(path)) throw new StoreError(path, "is missing; check the paths of [queue], [ledger] and [dlq]");
  }
  let path = paths.queue;
  let db: Database | undefined;
  try {
    db = new Database(path, { readonly: true, strict: true });
    db.query("SELECT count(*) FROM sqlite_schema").get();
    for (const store of ["ledger", "dlq"] as const) {
      path = paths[store];
      db.query<never, [string]>(`ATTACH ? AS ${store}`).run(path);
      db.query(`SELECT count(*) FROM ${store}.meta`).get();
    }
    return db;
  } catch (error) {
    db?.close();
    throw new StoreError(path, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** Reads all three, which pins them for the transaction. */
function batchesBehind(db: Database): number {
  const row = db
    .query<{ last: number; ledger: number; dlq: number }, []>(
      `SELECT (SELECT CAST(value AS INTEGER) FROM ledger.meta WHERE name = 'applied_seq') AS ledger,
         (SELECT CAST(value AS INTEGER) FROM dlq.meta WHERE name = 'applied_seq') AS dlq,
         coalesce((SELECT max(seq) FROM main.outbox),
           (SELECT CAST(value AS INTEGER) FROM main.meta WHERE name = 'outbox_trimmed')) AS last`,
    )
    .get();
  if (row === null) return 0;
  return Math.max(row.last - row.ledger, row.last - row.dlq, row.ledger - row.last, row.dlq - row.last);
}
