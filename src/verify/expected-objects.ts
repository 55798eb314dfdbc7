import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ObjectRef } from "../jobs/object-store.ts";

export interface ExpectedObject extends ObjectRef {
  /** 0 for a manifest. */
  readonly task: number;
  readonly jobId: string;
  /** `null` for a manifest: no store holds its size. */
  readonly bytes: number | null;
  /** Hex. */
  readonly sha256: string | null;
  /** Empty or `null` if the storage gave none. */
  readonly etag: string | null;
}

/** The place of an object in the ledger, for a finding. */
export function writerText({ task, jobId }: Pick<ExpectedObject, "task" | "jobId">): string {
  return task === 0 ? `the manifest of job ${jobId}` : `task ${task} of job ${jobId}`;
}

/**
 * The objects that must exist, in a temporary file, so that millions of them need no memory and the stores stay free
 * while the storage is read.
 */
export class ExpectedObjects implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "fetchbox-verify-"));
  readonly #db = new Database(join(this.#folder, "expected.db"), { create: true, strict: true });

  constructor() {
    this.#db.run("PRAGMA journal_mode = OFF");
    this.#db.run("PRAGMA synchronous = OFF");
    this.#db.run(`CREATE TABLE expected (bucket TEXT, key TEXT, task INTEGER, job_id TEXT, bytes INTEGER, sha256 TEXT, etag TEXT,
      seen INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bucket, key, task, job_id)) WITHOUT ROWID`);
  }

  addAll(objects: Iterable<ExpectedObject>): void {
    const insert = this.#db.query<never, [string, string, number, string, number | null, string | null, string | null]>(
      "INSERT OR REPLACE INTO expected (bucket, key, task, job_id, bytes, sha256, etag) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#db.transaction(() => {
      for (const { bucket, key, task, jobId, bytes, sha256, etag } of objects) {
        insert.run(bucket, key, task, jobId, bytes, sha256, etag);
      }
    })();
  }

  buckets(): string[] {
    return this.#db
      .query<{ bucket: string }, []>("SELECT DISTINCT bucket FROM expected")
      .all()
      .map(({ bucket }) => bucket);
  }

  /** All objects that a key may hold: several tasks may write it, and the last one wins. */
  under({ bucket, key }: ObjectRef): ExpectedObject[] {
    return this.#db
      .query<ExpectedObject, [string, string]>(
        "SELECT bucket, key, task, job_id AS jobId, bytes, sha256, etag FROM expected WHERE bucket = ? AND key = ?",
      )
      .all(bucket, key);
  }

  see({ bucket, key }: ObjectRef): void {
    this.#db
      .query<never, [string, string]>("UPDATE expected SET seen = 1 WHERE bucket = ? AND key = ?")
      .run(bucket, key);
  }

  /** The objects that were not seen yet, key by key. */
  *unseen(): Generator<ObjectRef> {
    const next = this.#db.query<ObjectRef, [string, string]>(
      "SELECT bucket, key FROM expected WHERE seen = 0 AND (bucket, key) > (?, ?) ORDER BY bucket, key LIMIT 1",
    );
    for (let ref = next.get("", ""); ref !== null; ref = next.get(ref.bucket, ref.key)) yield ref;
  }

  [Symbol.dispose](): void {
    this.#db.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
