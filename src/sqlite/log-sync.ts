import { closeSync, fdatasync, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { CommitLog } from "./group-commit.ts";

/** What was committed may or may not be on the disk, and a later sync may succeed although it is lost. */
export class SyncError extends Error {
  override readonly name = "SyncError";
}

/** Another thread costs some hundred microseconds of two cores, and makes commits smaller. */
const QUICK_MS = 1.5;
/** After so many syncs beside a disk is asked again how quick it is. */
const TRY_AGAIN = 32;

/**
 * Brings a store's write-ahead log to the disk. SQLite would do that within COMMIT (`synchronous = FULL`) and hold the
 * event loop up for as long as the disk takes. Where that is long, another thread does it here, and nobody waits but
 * those whose commit it is. For a connection with `synchronous = NORMAL`, which leaves the log to us, and syncs it before a
 * checkpoint itself.
 */
export class LogSync implements CommitLog {
  readonly #path: string;
  #file: number | undefined;
  #isBusy = false;
  #isClosed = false;
  /** The shortest time of late that a sync held everything up: others are long because the cores were busy. Milliseconds. */
  #waitMs = 0;
  #beside = 0;

  /** `path` is that of the store. */
  constructor(path: string) {
    this.#path = `${path}-wal`;
  }

  /** Whether to wait for the disk is better than to leave that to another thread. */
  get isQuick(): boolean {
    return this.#waitMs < QUICK_MS || this.#beside >= TRY_AGAIN;
  }

  /** Makes all durable that is in the log now; then tells, or what it failed with. One at a time. */
  begin(done: (error?: SyncError) => void): void {
    const fail = (error: unknown) => done(this.#error(error));
    this.#beside++;
    try {
      this.#isBusy = true;
      fdatasync(this.#open(), (error) => {
        this.#isBusy = false;
        if (this.#isClosed) this.close();
        if (error === null) done();
        else fail(error);
      });
    } catch (error) {
      this.#isBusy = false;
      queueMicrotask(() => fail(error));
    }
  }

  /** Makes all durable that is in the log now, while everything waits. @throws SyncError */
  now(): void {
    const startedAt = performance.now();
    try {
      fdatasyncSync(this.#open());
    } catch (error) {
      throw this.#error(error);
    }
    this.#waitMs = Math.min(performance.now() - startedAt, this.#waitMs * 1.3 + 0.2);
    this.#beside = 0;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#file === undefined || this.#isBusy) return;
    closeSync(this.#file);
    this.#file = undefined;
  }

  /** The log is there from the first commit on, and stays until the store is closed. */
  #open(): number {
    if (this.#file !== undefined) return this.#file;
    const file = openSync(this.#path, "r+");
    const folder = openSync(dirname(this.#path), "r");
    try {
      fsyncSync(folder); // SQLite has just made it, and would sync its name with its first sync
    } finally {
      closeSync(folder);
    }
    this.#file = file;
    return file;
  }

  #error(cause: unknown): SyncError {
    return new SyncError(`${this.#path} could not be synced: ${(cause as Error).message}`, { cause });
  }
}
