import { constants, Database } from "bun:sqlite";
import { accessSync, closeSync, existsSync, constants as fs, mkdirSync, openSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { isBusy, reasonOf, StoreError, StoreLockedError } from "../../jobs/stores/store-error.ts";

const LOCK_FILE = "fetchbox.lock";
/** A link under the file's name could lead to a foreign file. */
const { SQLITE_OPEN_NOFOLLOW: NO_LINK, SQLITE_OPEN_READONLY, SQLITE_OPEN_READWRITE } = constants;

/**
 * Locks a directory for this process until the returned function is called or the process ends. The lock is an
 * exclusive transaction on an otherwise unused SQLite file: a lock of the kernel that does not affect readers of the
 * stores.
 * @param waitMs the time to wait for processes that only check the lock, by `isDirectoryLocked`
 * @throws StoreLockedError if another process holds the lock.
 */
export function lockDirectory(path: string, waitMs = 0): () => void {
  const file = join(path, LOCK_FILE);
  let db: Database | undefined;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    createPrivately(file);
    db = openLockFile(path, SQLITE_OPEN_READWRITE);
    // SQLite also opens a read-only lock file, which gives no lock.
    accessSync(file, fs.W_OK);
    db.run(`PRAGMA busy_timeout = ${waitMs}`);
    db.run("PRAGMA journal_mode = MEMORY"); // the file is never written, so it needs no journal beside it
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    if (isBusy(error)) throw new StoreLockedError(path);
    throw new StoreError(file, `cannot be locked: ${lockProblem(error)}`, { cause: error });
  }
  const held = db;
  return () => held.close();
}

/** Creates the file for its owner alone. An existing one is not opened here: that would end a lock of this process. */
function createPrivately(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EEXIST") throw error;
  }
}

/** Opens the file. An operator may reach the folder by a link; the file itself must not be one. */
function openLockFile(path: string, access: number): Database {
  return new Database(join(realpathSync(path), LOCK_FILE), access | NO_LINK);
}

function lockProblem(error: unknown): string {
  const { code } = error as { code?: unknown };
  return code === "SQLITE_CANTOPEN_SYMLINK" ? "it is a link; remove it" : reasonOf(error);
}

/** Whether a directory was locked before. A first lock adds a file to it. */
export function hasLockFile(path: string): boolean {
  return existsSync(join(path, LOCK_FILE));
}

/** Whether a process holds the lock. It only reads; a process that locks at this moment waits. @throws StoreError */
export function isDirectoryLocked(path: string): boolean {
  const file = join(path, LOCK_FILE);
  if (!existsSync(file)) return false;
  let db: Database | undefined;
  try {
    db = openLockFile(path, SQLITE_OPEN_READONLY);
    db.query("SELECT count(*) FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw new StoreError(file, `cannot be read: ${lockProblem(error)}`, { cause: error });
  } finally {
    db?.close();
  }
}
