/** A store is damaged, missing, foreign or out of step; nothing was changed. The process ends with exit code 3. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly path: string;

  constructor(path: string, problem: string, options?: { cause?: unknown }) {
    super(`${path}: ${problem}`, options);
    this.path = path;
  }
}

/** The backup before an upgrade failed, so the stores were not upgraded. They are as they were. */
export class UpgradeBackupError extends Error {
  override readonly name = "UpgradeBackupError";
}

/** Another process holds the data directory. The process ends with exit code 4. */
export class StoreLockedError extends Error {
  override readonly name = "StoreLockedError";

  constructor(path: string) {
    super(
      `${path}: another FetchBox process works in this directory; stop it, or choose other paths in [queue], [ledger], [dlq] and [storage]`,
    );
  }
}

/**
 * Whether an error of a store means that its disk is full (SQLITE_FULL, or an I/O error that says so; `SHMSIZE`: no
 * room for a log's index).
 */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  return code === "SQLITE_FULL" || code === "SQLITE_IOERR_SHMSIZE" || code === "ENOSPC" || code === "EDQUOT";
}

/**
 * Whether an error of a store means that nobody knows any more what is on the disk: an fsync failed (a later one may
 * succeed although the data is lost), or the file is damaged. A full disk is none, nor is a write that failed: SQLite
 * takes those back.
 */
export function isBroken(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^SQLITE_(IOERR_FSYNC|IOERR_DIR_FSYNC|CORRUPT|NOTADB)/.test(code);
}

/** Whether an error means that this user may not use a file, or that nobody may write to its file system. */
export function isForbidden(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code === "EACCES" || code === "EPERM" || code === "EROFS" || code.startsWith("SQLITE_READONLY");
}

/** Whether an error means that another program holds a lock on a store. */
export function isBusy(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED");
}

/** Why a store cannot be used, with the way out where the reason is none of the store's. */
export function reasonOf(error: unknown): string {
  const { message, code } = error as Error & { code?: unknown };
  // SQLite calls it an I/O error where only the index of a log finds no room.
  if (isDiskFull(error)) return `the disk is full; make room, then start again (${message})`;
  if (code === "EROFS") {
    return `the file system is read-only; mount it for writing, or set other paths in the configuration (${message})`;
  }
  if (isBusy(error)) return `another program holds a lock on it; end that one, then start again (${message})`;
  if (!isForbidden(error)) return message;
  return `this user may not use it; give it to the user that FetchBox runs as, or set other paths in the configuration (${message})`;
}
