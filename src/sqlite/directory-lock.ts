import { Database } from "bun:sqlite";
import { accessSync, chmodSync, existsSync, constants as fs, mkdirSync } from "node:fs";
import { join } from "node:path";
import { isBusy, reasonOf, StoreError, StoreLockedError } from "./store-error.ts";

const LOCK_FILE = "fetchbox.lock";

/**
 * Takes a directory for this process, until the function it returns is called or the process ends, in whatever way.
 * The lock is an exclusive transaction on an otherwise unused SQLite file: a lock of the kernel's that leaves readers
 * of the stores alone.
 * @param waitMs for how long somebody who only asks, by `isDirectoryLocked`, is waited for
 * @throws StoreLockedError if another process has it.
 */
export function lockDirectory(path: string, waitMs = 0): () => void {
  const file = join(path, LOCK_FILE);
  let db: Database | undefined;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    // SQLite would open a lock file that it may only read, and that locks nobody out.
    accessSync(existsSync(file) ? file : path, fs.W_OK);
    db = new Database(file, { create: true, readwrite: true });
    chmodSync(file, 0o600);
    db.run(`PRAGMA busy_timeout = ${waitMs}`);
    db.run("PRAGMA journal_mode = MEMORY"); // nothing is ever written, so no journal beside it
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    if (isBusy(error)) throw new StoreLockedError(path);
    throw new StoreError(path, `cannot be locked: ${reasonOf(error)}`, { cause: error });
  }
  const held = db;
  return () => held.close();
}

/** Whether a directory has been locked before. To lock another one changes it. */
export function hasLockFile(path: string): boolean {
  return existsSync(join(path, LOCK_FILE));
}

/** Whether some process has a directory. Only reads; one that takes it this instant waits. @throws StoreError */
export function isDirectoryLocked(path: string): boolean {
  const file = join(path, LOCK_FILE);
  if (!existsSync(file)) return false;
  let db: Database | undefined;
  try {
    db = new Database(file, { readonly: true });
    db.query("SELECT count(*) FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw new StoreError(file, `cannot be read: ${reasonOf(error)}`, { cause: error });
  } finally {
    db?.close();
  }
}
