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

export interface DatabaseOptions {
  readonly path: string;
  /** SQL scripts in order; `PRAGMA user_version` counts those that ran. */
  readonly migrations: readonly string[];
  /**
   * FULL: a commit is on the disk when it returns. NORMAL: it may be lost with the power, but never out of order;
   * for stores that can be replayed. OFF: for tests that show what FULL is good for.
   */
  readonly synchronous: "FULL" | "NORMAL" | "OFF";
  /** Completes a new store, before anybody can see it. */
  readonly found?: (db: Database) => void;
}

/** "FtBx", so that `file queue.db` and a wrong path are told apart from somebody else's database. */
const APPLICATION_ID = 0x46744278;

/** Pages of 4 KiB after which a commit also checkpoints; 1000 stall the loop for about 10 ms. */
const CHECKPOINT_PAGES = 1000;

/**
 * Says whether a store has ever been written: an absent file and an empty one are alike.
 * @throws StoreError if this user may not look
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
 * @throws StoreError if the file is no store of ours, is newer than this program, or cannot be opened; then it is as
 * it was.
 */
export function openDatabase({ path, migrations, synchronous, found }: DatabaseOptions): Database {
  if (isAbsent(path)) create(realPath(path), migrations, found);
  let db: Database | undefined;
  try {
    // SQLite would open it for reading alone, and fail at the first commit.
    accessSync(path, fs.W_OK);
    db = new Database(path, { strict: true, readwrite: true, create: false });
    const version = checkStore(db, path, migrations.length);
    // -wal and -shm stay when the store is closed: on a full disk there would be no room to make them anew.
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

/** Closes a store. Its log stays, with nothing in it. */
export function closeDatabase(db: Database): void {
  db.run("PRAGMA journal_size_limit = 0");
  db.close();
}

/**
 * Brings the schema of an open store up to date.
 * @throws StoreError if that fails; then the store is as it was
 */
export function upgradeDatabase(
  db: Database,
  { path, migrations }: Pick<DatabaseOptions, "path" | "migrations">,
): void {
  const version = pragma(db, "user_version");
  if (version >= migrations.length) return;
  try {
    migrate(db, migrations, version);
  } catch (error) {
    throw new StoreError(path, `cannot be upgraded: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Makes a new store beside its place, syncs it once, and moves it there: whatever happens meanwhile, a whole one is
 * there or none. Step by step in its place it took ten syncs.
 */
function create(path: string, migrations: readonly string[], found: DatabaseOptions["found"]): void {
  const draft = `${path}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // What a creation left that did not come to its end, and the log of a store that is gone: SQLite would read it.
    for (const left of [draft, `${draft}-wal`, `${draft}-shm`, `${path}-wal`, `${path}-shm`, `${path}-journal`]) {
      rmSync(left, { force: true });
    }
    // Tasks carry their headers: the files are for their owner alone. SQLite gives -wal and -shm the same mode.
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

/**
 * Where a link leads, which must not be replaced by a file; what it leads to may be on a disk that is not there now.
 */
function realPath(path: string): string {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return path;
  if (existsSync(path)) return realpathSync(path);
  throw new StoreError(path, "is a link to a file that is not there: mount or make what it leads to, or take it away");
}

/**
 * The schema that the file has, 0 for one without tables. Only reads: what is not ours stays as it is. The first page
 * of every table is read, too: damage there shows now, and not at the first request.
 * @throws StoreError if the file is not a store of this program, or is of a newer one
 */
export function checkStore(db: Database, path: string, newest: number): number {
  const version = pragma(db, "user_version");
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
  // Counts only before the first table; what retention frees can then be given back bit by bit.
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
