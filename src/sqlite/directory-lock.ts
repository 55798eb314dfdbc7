import { Database } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { StoreError, StoreLockedError } from "./store-error.ts";

const SQLITE_BUSY = 5;

/**
 * Takes a directory for this process, until the function it returns is called or the process ends, in whatever way.
 * The lock is an exclusive transaction on an otherwise unused SQLite file: a lock of the kernel's that leaves readers
 * of the stores alone.
 * @throws StoreLockedError if another process has it.
 */
export function lockDirectory(path: string): () => void {
  const file = join(path, "fetchbox.lock");
  let db: Database | undefined;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    db = new Database(file, { create: true, readwrite: true });
    chmodSync(file, 0o600);
    db.run("PRAGMA journal_mode = MEMORY"); // nothing is ever written, so no journal beside it
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    if ((error as { errno?: number }).errno === SQLITE_BUSY) throw new StoreLockedError(path);
    throw new StoreError(file, `cannot be locked: ${(error as Error).message}`, { cause: error });
  }
  const held = db;
  return () => held.close();
}
