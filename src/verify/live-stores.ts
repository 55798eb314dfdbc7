import type { Database } from "bun:sqlite";
import type { ObjectRef } from "../jobs/object-store.ts";
import type { Task } from "../jobs/task.ts";
import { ReadSource } from "../sqlite/file/read-only.ts";
import type { StorePaths } from "../sqlite/file/store-paths.ts";
import { decodeDeadLetter, decodeTask } from "../sqlite/task-codec.ts";
import { attachAll } from "./snapshot.ts";

/** The present state of the stores: a difference found a moment ago may have ended since. */
export class LiveStores implements Disposable {
  readonly #paths: readonly string[];
  #open: { readonly db: Database; readonly sources: readonly ReadSource[]; readonly stack: DisposableStack };

  constructor({ queue, ledger, dlq }: StorePaths) {
    this.#paths = [queue, ledger, dlq];
    this.#open = openStores(this.#paths);
  }

  /** Reads, and reopens the stores if the open connection does not see a service that has started. */
  #read<T>(read: (db: Database) => T): T {
    for (;;) {
      let outcome: { readonly value: T } | { readonly error: unknown };
      try {
        outcome = { value: read(this.#open.db) };
      } catch (error) {
        outcome = { error };
      }
      if (!this.#open.sources.some(({ isStale }) => isStale)) {
        if ("error" in outcome) throw outcome.error;
        return outcome.value;
      }
      this.#open.stack.dispose();
      this.#open = openStores(this.#paths);
    }
  }

  #has(sql: string, ...values: (string | number)[]): boolean {
    return this.#read((db) => db.query<unknown, (string | number)[]>(sql).get(...values)) !== null;
  }

  /** Whether a task's object must exist. */
  isCompleted(task: number): boolean {
    return this.#has("SELECT 1 FROM ledger.results WHERE task = ? AND state = 'completed'", task);
  }

  /** Whether the job is known. One past its retention is not, even if some of its rows remain. */
  hasJob(jobId: string): boolean {
    return this.#has(
      `SELECT 1 FROM main.jobs WHERE job_id = ?1
         AND NOT EXISTS (SELECT 1 FROM ledger.jobs l WHERE l.job_id = ?1 AND l.pruning = 1)
       UNION ALL SELECT 1 FROM ledger.jobs WHERE job_id = ?1 AND pruning = 0`,
      jobId,
    );
  }

  /** The end of a resource's task; `undefined` if it has not ended or does not exist. */
  endOf(jobId: string, resourceId: string): { task: number; state: string; storageUrl: string | null } | undefined {
    const sql = `SELECT r.task, r.state, r.storage_url AS storageUrl FROM ledger.results r JOIN ledger.jobs j ON j.seq = r.job
      WHERE j.job_id = ? AND r.task BETWEEN j.first_task AND j.last_task AND r.resource_id = ?`;
    const row = this.#read((db) =>
      db
        .query<{ task: number; state: string; storageUrl: string | null }, [string, string]>(sql)
        .get(jobId, resourceId),
    );
    return row ?? undefined;
  }

  /** Whether a task of the job has not ended, or its end is not in the ledger yet. */
  isAtWork(jobId: string): boolean {
    return this.#has(
      `SELECT 1 FROM main.jobs q LEFT JOIN ledger.jobs l ON l.seq = q.seq WHERE q.job_id = ?
         AND (q.finished_at IS NULL OR (q.completed, q.failed, q.cancelled) IS NOT (l.completed, l.failed, l.cancelled))`,
      jobId,
    );
  }

  /** Whether a worker may have an open upload. */
  hasClaims(): boolean {
    return this.#has("SELECT 1 FROM main.tasks WHERE claim_id IS NOT NULL LIMIT 1");
  }

  /** Whether queue.db has a record of an upload. A record without an id stands for every upload under its key. */
  isRecorded(key: string, uploadId: string): boolean {
    const recorded = ["SELECT 1 FROM main.uploads WHERE upload_id = ?2 OR (key = ?1 AND upload_id = '')"];
    if (this.#read(hasOrphans)) {
      recorded.push("SELECT 1 FROM main.orphans WHERE kind = 'upload' AND (name = ?2 OR (key = ?1 AND name = ''))");
    }
    return this.#has(recorded.join(" UNION ALL "), key, uploadId);
  }

  /** Whether the service looks for a late object under the key. */
  isLookedFor({ bucket, key }: ObjectRef): boolean {
    if (!this.#read(hasOrphans)) return false;
    return this.#has("SELECT 1 FROM main.orphans WHERE kind = 'object' AND bucket = ? AND key = ?", bucket, key);
  }

  /** The given places (`bucket/key`) that a claimed task writes. */
  claimedKeysAmong(places: readonly string[]): Set<string> {
    return this.#read((db) => among(places, tasksWhere(db, "claim_id IS NOT NULL")));
  }

  /**
   * The given places (`bucket/key`) that a waiting, running or dead-lettered task writes. It reads all these tasks.
   */
  taskKeysAmong(places: readonly string[]): Set<string> {
    return this.#read((db) => {
      const unfinished = among(places, tasksWhere(db, "state IN ('pending', 'running', 'retrying')"));
      return unfinished.union(among(places, deadLetterTasks(db)));
    });
  }

  [Symbol.dispose](): void {
    this.#open.stack.dispose();
  }
}

function among(places: readonly string[], tasks: Iterable<Task>): Set<string> {
  const wanted = new Set(places);
  const found = new Set<string>();
  for (const { bucket, key } of tasks) if (wanted.has(`${bucket}/${key}`)) found.add(`${bucket}/${key}`);
  return found;
}

function* tasksWhere(db: Database, condition: string): Generator<Task> {
  const rows = db.query<{ payload: Uint8Array }, []>(`SELECT payload FROM main.tasks WHERE ${condition}`);
  for (const { payload } of rows.iterate()) yield decodeTask(payload);
}

function* deadLetterTasks(db: Database): Generator<Task> {
  const rows = db.query<{ letter: Uint8Array }, []>("SELECT letter FROM dlq.dead_letters");
  for (const { letter } of rows.iterate()) yield decodeDeadLetter(letter).task;
}

function openStores(paths: readonly string[]) {
  using stack = new DisposableStack();
  const sources = paths.map((path) => stack.use(new ReadSource(path)));
  const db = stack.adopt(attachAll(sources), (opened) => opened.close());
  return { db, sources, stack: stack.move() };
}

/** Whether queue.db has the table of orphans; one of an older version lacks it before its upgrade. */
export function hasOrphans(db: Database): boolean {
  return db.query("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'orphans'").get() !== null;
}
