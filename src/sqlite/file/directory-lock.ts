import { constants, Database } from "bun:sqlite";
import { accessSync, closeSync, existsSync, constants as fs, mkdirSync, openSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { isBusy, reasonOf, StoreError, StoreLockedError } from "../../jobs/stores/store-error.ts";

const LOCK_FILE = "fetchbox.lock";
/** A link under the file's name could lead to anybody's file. */
const { SQLITE_OPEN_NOFOLLOW: NO_LINK, SQLITE_OPEN_READONLY, SQLITE_OPEN_READWRITE } = constants;

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
    createPrivately(file);
    db = openLockFile(path, SQLITE_OPEN_READWRITE);
    // SQLite also opens a lock file that it may only read, and that locks nobody out.
    accessSync(file, fs.W_OK);
    db.run(`PRAGMA busy_timeout = ${waitMs}`);
    db.run("PRAGMA journal_mode = MEMORY"); // nothing is ever written, so no journal beside it
    db.run("BEGIN EXCLUSIVE");
  } catch (error) {
    db?.close();
    if (isBusy(error)) throw new StoreLockedError(path);
    throw new StoreError(file, `cannot be locked: ${lockProblem(error)}`, { cause: error });
  }
  const held = db;
  return () => held.close();
}

/** Makes the file for its owner alone. One that is there stays as it is: to open it here would end a lock of ours. */
function createPrivately(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EEXIST") throw error;
  }
}

/** The folder itself may be behind a link: that is the operator's choice. The file may not. */
function openLockFile(path: string, access: number): Database {
  return new Database(join(realpathSync(path), LOCK_FILE), access | NO_LINK);
}

function lockProblem(error: unknown): string {
  const { code } = error as { code?: unknown };
  return code === "SQLITE_CANTOPEN_SYMLINK" ? "it is a link; remove it" : reasonOf(error);
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
