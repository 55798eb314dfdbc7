import { constants, Database } from "bun:sqlite";
import {
  accessSync,
  closeSync,
  copyFileSync,
  existsSync,
  constants as fs,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { reasonOf, StoreError } from "../../jobs/stores/store-error.ts";
import { isAbsent } from "./database.ts";
import { isLogIgnored } from "./wal-check.ts";

/** Bun's `readonly` does not accept URIs. */
const FLAGS = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
/** A starting service finishes its recovery well within this time. */
const BUSY_MS = 2000;
const TRIES = 5;

/**
 * Reads a store and changes no byte in its folder. SQLite by itself deletes the log of an empty store, rewrites the
 * index of a log (`-shm`) after a crash, and leaves files behind.
 *
 * - With log and index, the index is opened for reading: the reader sees later commits of a service.
 * - Without a log, or with one that SQLite ignores, the file alone is read; with a log alone, a copy of both. Neither
 *   shows the commits of a service that starts later: see `isStale`.
 */
export class ReadSource implements Disposable {
  readonly path: string;
  /** The URI for SQLite to open or to attach. */
  readonly uri: string;
  readonly #cleanUp = new DisposableStack();
  /** The state of the files at the start, if the reader does not see changes. */
  readonly #before: string | undefined;

  /**
   * `isOurs`: the caller holds the folder's lock. A log without an index then gets one for the time of the read, so
   * that a start copies no store.
   * @throws StoreError if the store is missing or empty, or may not be read
   */
  constructor(path: string, isOurs = false) {
    this.path = path;
    if (isAbsent(path)) throw missingStore(path);
    refuseUnreadable(path);
    const [log, index] = [`${path}-wal`, `${path}-shm`];
    // A reader that may not repair the index retries for ten seconds and then reports a lock error.
    const isIgnored = isLogIgnored(log);
    if (isOurs && !isAbsent(log) && !isIgnored && !existsSync(index)) {
      closeSync(openSync(index, "wx", 0o600));
      this.#cleanUp.defer(() => rmSync(index));
    }
    if (existsSync(log) && !isIgnored && existsSync(index)) {
      this.uri = uriOf(path, "readonly_shm=1");
      return;
    }
    this.#before = filesAt(path);
    this.uri = isAbsent(log) || isIgnored ? uriOf(path, "immutable=1") : uriOf(this.#copy(), "");
  }

  /** True if a service has started to write and the reader did not see it: its rows may be from two moments. */
  get isStale(): boolean {
    return this.#before !== undefined && this.#before !== filesAt(this.path);
  }

  open(): Database {
    const db = new Database(this.uri, FLAGS);
    db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
    return db;
  }

  [Symbol.dispose](): void {
    this.#cleanUp.dispose();
  }

  #copy(): string {
    const folder = mkdtempSync(join(tmpdir(), "fetchbox-read-"));
    this.#cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
    const copy = join(folder, "store.db");
    try {
      for (const suffix of ["", "-wal"]) copyFileSync(this.path + suffix, copy + suffix, fs.COPYFILE_FICLONE);
      return copy;
    } catch (error) {
      this.#cleanUp.dispose();
      const { message } = error as Error;
      throw new StoreError(this.path, `cannot be copied, to be read with its log: ${message}; set TMPDIR`, {
        cause: error,
      });
    }
  }
}

/**
 * Returns the result of `read`. It reads again if a service started to write meanwhile.
 * @throws StoreError if a store is missing or empty
 */
export function readSteadily<T>(
  paths: readonly string[],
  read: (sources: readonly ReadSource[]) => T,
  isOurs = false,
): T {
  for (let tries = 1; ; tries++) {
    using stack = new DisposableStack();
    const sources = paths.map((path) => stack.use(new ReadSource(path, isOurs)));
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      outcome = { value: read(sources) };
    } catch (error) {
      outcome = { error };
    }
    if (tries < TRIES && sources.some(({ isStale }) => isStale)) continue;
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }
}

/** Reports a file without read permission; SQLite's own message does not name the reason. */
function refuseUnreadable(path: string): void {
  try {
    accessSync(path, fs.R_OK);
  } catch (error) {
    throw new StoreError(path, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

export function missingStore(path: string): StoreError {
  return new StoreError(path, "is missing or empty; check the paths of [queue], [ledger] and [dlq]");
}

function uriOf(path: string, query: string): string {
  return `${pathToFileURL(resolve(path)).href}?${query}`;
}

function filesAt(path: string): string {
  return ["", "-wal", "-shm"]
    .map((suffix) => {
      const stat = statSync(path + suffix, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? "" : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
    })
    .join(" ");
}
