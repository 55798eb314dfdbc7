/** A store is damaged, missing, foreign or out of step; nothing was changed. The process ends with exit code 3. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly path: string;

  constructor(path: string, problem: string, options?: { cause?: unknown }) {
    super(`${path}: ${problem}`, options);
    this.path = path;
  }
}

/** Another process holds the data directory. The process ends with exit code 4. */
export class StoreLockedError extends Error {
  override readonly name = "StoreLockedError";

  constructor(path: string) {
    super(
      `${path}: another FetchBox process works in this directory; stop it, or choose other paths in [queue], [ledger] and [dlq]`,
    );
  }
}

/** Whether an error of a store means that its disk is full (SQLITE_FULL, or an I/O error that says so; `SHMSIZE`: no room for a log's index). */
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
