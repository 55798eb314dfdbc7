import type { Database } from "bun:sqlite";
import { StoreError } from "../jobs/stores/store-error.ts";
import { ReadSource } from "../sqlite/file/read-only.ts";
import type { StorePaths } from "../sqlite/file/store-paths.ts";
import type { Clock } from "../std/clock.ts";

/** The three stores at one moment, for reading; `main` is queue.db. */
export interface Snapshot extends Disposable {
  readonly db: Database;
  /** Batches of queue.db's outbox that a projection has not applied. */
  readonly behind: number;
  readonly installation: string;
  /** True if a service has started to write to the stores: the rows read may be from two moments. */
  isStale(): boolean;
}

/** A commit reaches the projections within a millisecond or two. */
const TRIES = 200;
const PAUSE_MS = 5;

/**
 * Opens the stores for reading, while a service may use them. It does not delay the service and changes no file. For a
 * while it tries to find a moment at which the projections hold every batch of queue.db.
 * @throws StoreError if a store is missing or cannot be read
 */
export async function openSnapshot(paths: StorePaths, clock: Clock): Promise<Snapshot> {
  using open = new DisposableStack();
  const sources = [paths.queue, paths.ledger, paths.dlq].map((path) => open.use(new ReadSource(path)));
  const db = open.adopt(attachAll(sources), (opened) => opened.close());
  for (let tries = 1; ; tries++) {
    db.run("BEGIN");
    const behind = batchesBehind(db);
    if (behind === 0 || tries === TRIES) {
      const installation = installationOf(db);
      const kept = open.move();
      return {
        db,
        behind,
        installation,
        isStale: () => sources.some(({ isStale }) => isStale),
        [Symbol.dispose]: () => kept.dispose(),
      };
    }
    db.run("ROLLBACK");
    await new Promise<void>((resolve) => clock.after(PAUSE_MS, resolve));
  }
}

function installationOf(db: Database): string {
  const row = db.query<{ value: string }, []>("SELECT value FROM main.meta WHERE name = 'installation'").get();
  return row?.value ?? "";
}

/** The three stores at one connection, for reading; `main` is queue.db. @throws StoreError */
export function attachAll([queue, ledger, dlq]: readonly ReadSource[]): Database {
  let path = queue?.path ?? "";
  let db: Database | undefined;
  try {
    if (queue === undefined || ledger === undefined || dlq === undefined)
      throw new Error("a path of a store is missing");
    db = queue.open();
    db.query("SELECT count(*) FROM sqlite_schema").get();
    for (const [name, source] of Object.entries({ ledger, dlq })) {
      path = source.path;
      db.query<never, [string]>(`ATTACH ? AS ${name}`).run(source.uri);
      db.query(`SELECT count(*) FROM ${name}.meta`).get();
    }
    return db;
  } catch (error) {
    db?.close();
    throw new StoreError(path, `cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** The largest distance between the stores. It reads all three, which pins them for the transaction. */
function batchesBehind(db: Database): number {
  const row = db
    .query<{ last: number; ledger: number; dlq: number }, []>(
      `SELECT (SELECT CAST(value AS INTEGER) FROM ledger.meta WHERE name = 'applied_seq') AS ledger,
         (SELECT CAST(value AS INTEGER) FROM dlq.meta WHERE name = 'applied_seq') AS dlq,
         coalesce((SELECT max(seq) FROM main.outbox),
           (SELECT CAST(value AS INTEGER) FROM main.meta WHERE name = 'outbox_trimmed')) AS last`,
    )
    .get();
  if (row === null) return 0;
  return Math.max(row.last - row.ledger, row.last - row.dlq, row.ledger - row.last, row.dlq - row.last);
}
