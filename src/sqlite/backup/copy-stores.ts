import type { Database } from "bun:sqlite";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { reasonOf, StoreError } from "../../jobs/stores/store-error.ts";
import { inspectStores, requireStores } from "../file/inspect.ts";
import { readMeta } from "../file/meta.ts";
import { type ReadSource, readSteadily } from "../file/read-only.ts";
import type { StorePaths } from "../file/store-paths.ts";
import { sync } from "../file/sync.ts";
import { readLast } from "../outbox.ts";

/** The content of a backup. */
export interface BackupSummary {
  readonly installation: string;
  /** The last batch of queue.db. */
  readonly seq: number;
  readonly jobs: number;
  readonly tasks: number;
}

/**
 * Copies the three stores into `folder` while a service may use them. It only reads. The projections are copied first
 * and stay pinned until queue.db is copied: the service cannot checkpoint a pinned projection. So its outbox keeps the
 * batches that the copies lack, and the first start on the copy delivers them. `isOurs`: the caller holds the locks of
 * the stores' folders.
 * @throws StoreError if a start would refuse the stores, one is missing, or the copies do not fit together
 */
export function copyStores(paths: StorePaths, folder: string, isOurs = false): BackupSummary {
  inspectStores(paths, isOurs);
  requireStores(paths);
  const order = ["ledger", "dlq", "queue"] as const;
  readSteadily(
    order.map((store) => paths[store]),
    (sources) => {
      using open = new DisposableStack();
      for (const source of sources.slice(0, 2)) {
        const pinned = openSource(source, open);
        pinned.run("BEGIN");
        readMeta(pinned, "applied_seq");
      }
      sources.forEach((source, i) => copyStore(openSource(source, open), copyPath(folder, order[i] ?? "queue")));
    },
    isOurs,
  );
  return checkCopies(folder);
}

/** The path of a copy, as in the default configuration. */
function copyPath(folder: string, store: keyof StorePaths): string {
  return join(folder, store, `${store}.db`);
}

function openSource(source: ReadSource, open: DisposableStack): Database {
  try {
    const db = open.adopt(source.open(), (opened) => opened.close());
    db.query("SELECT count(*) FROM meta").get();
    return db;
  } catch (error) {
    throw new StoreError(source.path, `cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function copyStore(from: Database, to: string): void {
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  rmSync(to, { force: true });
  from.query<never, [string]>("VACUUM INTO ?").run(to);
  chmodSync(to, 0o600);
  sync(to);
  sync(dirname(to));
}

function checkCopies(folder: string): BackupSummary {
  const [queue, ledger, dlq] = [copyPath(folder, "queue"), copyPath(folder, "ledger"), copyPath(folder, "dlq")];
  inspectStores({ queue, ledger, dlq });
  return readSteadily([queue, ledger, dlq], (sources) => {
    using open = new DisposableStack();
    const [copy] = sources.map((source) => checkIntegrity(openSource(source, open), source.path));
    if (copy === undefined) throw new Error("there is no copy of queue.db");
    const count = (table: string) => copy.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
    const [installation, seq] = [readMeta(copy, "installation"), readLast(copy)];
    return { installation, seq, jobs: count("jobs"), tasks: count("tasks") };
  });
}

function checkIntegrity(db: Database, path: string): Database {
  const row = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check(1)").get();
  if (row?.integrity_check !== "ok") throw new StoreError(path, `is damaged: ${row?.integrity_check}`);
  return db;
}
