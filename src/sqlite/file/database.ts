import { constants, Database } from "bun:sqlite";
import {
  accessSync,
  chmodSync,
  closeSync,
  existsSync,
  constants as fs,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { reasonOf, StoreError } from "../../jobs/stores/store-error.ts";
import { sync } from "./sync.ts";

interface DatabaseOptions {
  readonly path: string;
  /** SQL scripts in order; `PRAGMA user_version` is the number of scripts that ran. */
  readonly migrations: readonly string[];
  /**
   * FULL: a commit is on the disk when it returns. NORMAL: a loss of power may lose the latest commits, never earlier
   * ones; for stores that can be replayed. OFF: for tests that show the effect of FULL.
   */
  readonly synchronous: "FULL" | "NORMAL" | "OFF";
  /** Completes a new store before it becomes visible. */
  readonly found?: (db: Database) => void;
}

/** "FtBx", so that `file queue.db` shows the owner and a foreign database is recognized. */
const APPLICATION_ID = 0x46744278;

/** Pages of 4 KiB after which a commit also checkpoints; 1000 take about 10 ms of the event loop. */
const CHECKPOINT_PAGES = 1000;

/**
 * True if a store was never written: the file is absent or empty.
 * @throws StoreError if this user may not access it
 */
export function isAbsent(path: string): boolean {
  try {
    return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0;
  } catch (error) {
    throw new StoreError(path, `cannot be looked at: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Opens a store, and creates it where it is absent. An older schema stays until `upgradeDatabase`.
 * @throws StoreError if the file is not a store of FetchBox, is newer than this program, or cannot be opened. The file
 * then stays unchanged.
 */
export function openDatabase({ path, migrations, synchronous, found }: DatabaseOptions): Database {
  if (isAbsent(path)) create(realPath(path), migrations, found);
  let db: Database | undefined;
  try {
    // SQLite would open such a file read-only, and fail at the first commit.
    accessSync(path, fs.W_OK);
    db = new Database(path, { strict: true, readwrite: true, create: false });
    const version = checkStore(db, path, migrations.length);
    // -wal and -shm stay when the store is closed: a full disk would have no room for new ones.
    db.fileControl(constants.SQLITE_FCNTL_PERSIST_WAL, 1);
    chmodSync(path, 0o600);
    db.run("PRAGMA journal_mode = WAL");
    db.run(`PRAGMA synchronous = ${synchronous}`);
    db.run("PRAGMA temp_store = MEMORY");
    db.run(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    if (version === 0) migrate(db, migrations, version);
    return db;
  } catch (error) {
    db?.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError(path, `cannot be opened: ${reasonOf(error)}`, { cause: error });
  }
}

/** Closes a store. Its log stays as an empty file. */
export function closeDatabase(db: Database): void {
  db.run("PRAGMA journal_size_limit = 0");
  db.close();
}

/**
 * Brings the schema of an open store up to date.
 * @throws StoreError if that fails; the store then stays unchanged
 */
export function upgradeDatabase(
  db: Database,
  { path, migrations }: Pick<DatabaseOptions, "path" | "migrations">,
): void {
  const version = readSchemaVersion(db);
  if (version >= migrations.length) return;
  try {
    migrate(db, migrations, version);
  } catch (error) {
    throw new StoreError(path, `cannot be upgraded: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Creates a new store beside its path, syncs it once, and moves it there: after a crash the whole store is there or
 * none. To create it in place took ten syncs.
 */
function create(path: string, migrations: readonly string[], found: DatabaseOptions["found"]): void {
  const draft = `${path}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // These may be left of an interrupted creation, or be the log of a deleted store, which SQLite would read.
    for (const left of [draft, `${draft}-wal`, `${draft}-shm`, `${path}-wal`, `${path}-shm`, `${path}-journal`]) {
      rmSync(left, { force: true });
    }
    // Only the owner may read the files, since tasks hold headers. SQLite gives -wal and -shm the same mode.
    closeSync(openSync(draft, "wx", 0o600));
    using undo = new DisposableStack();
    undo.defer(() => rmSync(draft, { force: true }));
    fill(draft, migrations, found);
    sync(draft);
    renameSync(draft, path);
    sync(dirname(path));
  } catch (error) {
    throw new StoreError(path, `cannot be created: ${reasonOf(error)}`, { cause: error });
  }
}

function fill(draft: string, migrations: readonly string[], found: DatabaseOptions["found"]): void {
  const db = new Database(draft, { strict: true, readwrite: true, create: false });
  try {
    db.run("PRAGMA synchronous = OFF");
    db.run("PRAGMA journal_mode = MEMORY");
    migrate(db, migrations, 0);
    found?.(db);
    db.run("PRAGMA journal_mode = WAL");
  } finally {
    db.close();
  }
}

/** The schema version of a store, which is 0 where it has no tables. */
export function readSchemaVersion(db: Database): number {
  return pragma(db, "user_version");
}

/**
 * The target of a link, which a file must not replace. The target may be on a disk that is not mounted now.
 */
function realPath(path: string): string {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return path;
  if (existsSync(path)) return realpathSync(path);
  throw new StoreError(path, "is a link to a missing file: mount or create its target, or remove the link");
}

/**
 * The schema version of the file, 0 if it has no tables. It only reads, so that a foreign file stays unchanged. It also
 * reads the first page of every table, so that damage shows now and not at the first request.
 * @throws StoreError if the file is not a store of this program, or belongs to a newer version
 */
export function checkStore(db: Database, path: string, newest: number): number {
  const version = readSchemaVersion(db);
  const owner = pragma(db, "application_id");
  const tables = db.query<{ n: number }, []>("SELECT count(*) AS n FROM sqlite_schema").get()?.n ?? 0;
  if (owner !== APPLICATION_ID && (owner !== 0 || tables > 0)) throw new StoreError(path, "is not a store of FetchBox");
  if (version > newest) {
    throw new StoreError(path, `has schema ${version}, newer than this program's ${newest}; run a newer FetchBox`);
  }
  touchTables(db);
  return version;
}

function migrate(db: Database, migrations: readonly string[], version: number): void {
  // This works only before the first table. Retention can then return free pages in small steps.
  if (version === 0) db.run("PRAGMA auto_vacuum = INCREMENTAL");
  db.transaction(() => {
    for (const script of migrations.slice(version)) db.run(script);
    db.run(`PRAGMA application_id = ${APPLICATION_ID}`);
    db.run(`PRAGMA user_version = ${migrations.length}`);
  }).immediate();
}

function touchTables(db: Database): void {
  const tables = db.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  for (const { name } of tables) db.query(`SELECT 1 FROM "${name}" LIMIT 1`).get();
}

function pragma(db: Database, name: "user_version" | "application_id"): number {
  const row = db.query<Record<string, number>, []>(`PRAGMA ${name}`).get();
  return row?.[name] ?? 0;
}
