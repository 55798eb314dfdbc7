import type { Database } from "bun:sqlite";
import type { Event } from "../../gen/fetchbox/v1/event.ts";
import type { LedgerReads, LogLevel } from "../../jobs/stores/ledger-reads.ts";
import {
  type JobCounts,
  type JobFilter,
  type JobRecord,
  type LogRecord,
  type LogStretch,
  type ResultRecord,
} from "../../jobs/stores/ledger-reads.ts";
import type { LedgerRetention } from "../../jobs/stores/retained-stores.ts";
import type { OnDrift } from "../counters.ts";
import { giveBackPages } from "../file/free-pages.ts";
import type { Projection } from "../outbox.ts";
import { createProjection } from "../projection.ts";
import { decodeHistory } from "../task-codec.ts";
import { applyToLedger } from "./apply-events.ts";
import { countJobs } from "./count-jobs.ts";
import { JOB_COLUMNS, listJobs } from "./list-jobs.ts";
import { type EndedJob, pruneJobs, pruneKeys, pruneLogs, readPrunableJobs } from "./prune-ledger.ts";

const RESULT_COLUMNS = `task, state, resource_id AS resourceId, url, final_url AS finalUrl, attempts,
  http_status AS httpStatus, bytes, iif(proven_by_size, 'size', integrity) AS integrity, lower(hex(sha256)) AS sha256,
  etag, content_type AS contentType, content_encoding AS contentEncoding, storage_url AS storageUrl,
  error_code AS errorCode, error_message AS errorMessage, started_at AS startedAt,
  finished_at AS finishedAt, history`;

/** A read takes about a millisecond where the wanted level is rare. */
const LOG_ROWS_PER_READ = 2000;

type ResultRow = Omit<ResultRecord, "history"> & { readonly history: Uint8Array | null };

/** ledger.db: the history of every job, for readers. It is a projection of queue.db and makes no decision. */
export class Ledger implements LedgerReads, LedgerRetention {
  readonly projection: Projection;
  readonly #db: Database;
  readonly #bringUpToDate: () => void;
  readonly #watchers = new Map<number, Set<() => void>>();

  /** `bringUpToDate` is called before every read of tasks. */
  constructor(db: Database, path: string, bringUpToDate: () => void, onDrift: OnDrift) {
    this.#db = db;
    this.#bringUpToDate = bringUpToDate;
    this.projection = createProjection(db, path, (events) => {
      applyToLedger(db, events, onDrift);
      if (this.#watchers.size > 0) this.#notifyWatchers(events);
    });
  }

  /** Applies all committed events: later reads agree with queue.db. */
  async bringUpToDate(): Promise<void> {
    this.#bringUpToDate();
  }

  get #current(): Database {
    this.#bringUpToDate();
    return this.#db;
  }

  /**
   * Calls `onNews` when a job, given by its number, has new rows. This turn of the event loop commits them. The
   * returned function ends this.
   */
  watch(seq: number, onNews: () => void): () => void {
    const watchers = this.#watchers.get(seq) ?? new Set();
    this.#watchers.set(seq, watchers.add(onNews));
    return () => {
      watchers.delete(onNews);
      if (watchers.size === 0 && this.#watchers.get(seq) === watchers) this.#watchers.delete(seq);
    };
  }

  #notifyWatchers(events: readonly Event[]): void {
    for (const seq of new Set(events.map(({ job }) => job))) this.#watchers.get(seq)?.forEach((onNews) => onNews());
  }

  /**
   * Finds a job. The counters, failures and log lines of a running one may be a moment old, so that polling causes no
   * extra work. A caller that needs current ones calls `bringUpToDate` first.
   */
  async findJob(jobId: string): Promise<JobRecord | undefined> {
    return (
      this.#db
        .query<JobRecord, [string]>(`SELECT ${JOB_COLUMNS} FROM jobs WHERE job_id = ? AND pruning = 0`)
        .get(jobId) ?? undefined
    );
  }

  /** Jobs older than `beforeSeq`, newest first. */
  async listJobs(filter: JobFilter, beforeSeq: number, limit: number): Promise<JobRecord[]> {
    return listJobs(this.#db, filter, beforeSeq, limit);
  }

  /** Jobs by status, from the maintained counts or from a bounded number of rows. */
  async countJobs(filter: Pick<JobFilter, "jobType" | "tenant">, limit: number): Promise<JobCounts> {
    return countJobs(this.#db, filter, limit);
  }

  /** The first failed tasks of a job, in order of their ids. */
  async failures(job: JobRecord, limit: number): Promise<ResultRecord[]> {
    return this.#db
      .query<ResultRow, [number, number]>(
        `SELECT ${RESULT_COLUMNS} FROM results WHERE job = ? AND state = 'failed' ORDER BY task LIMIT ?`,
      )
      .all(job.seq, limit)
      .map(resultOf);
  }

  /** Results of a job with task ids after `afterTask`, in order of their ids. */
  async results(
    job: JobRecord,
    afterTask: number,
    limit: number,
    state?: ResultRecord["state"],
  ): Promise<ResultRecord[]> {
    return this.#current
      .query<ResultRow, [number, number, number, number, string | null, number]>(
        `SELECT ${RESULT_COLUMNS} FROM results WHERE task > max(?, ?) AND task <= ? AND job = ?
           AND state = coalesce(?, state) ORDER BY task LIMIT ?`,
      )
      .all(afterTask, job.firstTask - 1, job.lastTask, job.seq, state ?? null, limit)
      .map(resultOf);
  }

  /** One task's result, if it ended. */
  async result(task: number): Promise<ResultRecord | undefined> {
    const row = this.#current
      .query<ResultRow, [number]>(`SELECT ${RESULT_COLUMNS} FROM results WHERE task = ?`)
      .get(task);
    return row === null ? undefined : resultOf(row);
  }

  /** Deletes about `limit` log rows of jobs that ended before `before`. */
  async pruneLogs(before: number, limit: number): Promise<{ rows: number; more: boolean }> {
    return pruneLogs(this.#current, before, limit);
  }

  /** Jobs that ended before `before`, the oldest first, from the one after `after` on. */
  async prunableJobs(before: number, after: EndedJob, limit: number): Promise<EndedJob[]> {
    return readPrunableJobs(this.#current, before, after, limit);
  }

  /** Deletes jobs until about `rows` rows are gone. Resolves to the number of deleted jobs. */
  async pruneJobs(jobs: readonly number[], rows: number): Promise<number> {
    return pruneJobs(this.#current, jobs, rows);
  }

  /** Deletes up to `limit` idempotency keys from before `before`. Resolves to their number. */
  async pruneKeys(before: number, limit: number): Promise<number> {
    return pruneKeys(this.#current, before, limit);
  }

  /** Returns up to `limit` free pages to the file system. False if there are too few of them. */
  async giveBackPages(limit: number): Promise<boolean> {
    return giveBackPages(this.#current, limit);
  }

  /**
   * Log lines of a job from `offset` on, up to `job.logCount`. One call reads a bounded number of rows, whatever their
   * levels. A caller that wants more continues at `next` in another turn of the event loop.
   */
  async logs(job: JobRecord, offset: number, limit: number, levels: readonly LogLevel[]): Promise<LogStretch> {
    const end = Math.min(offset + LOG_ROWS_PER_READ, job.logCount);
    const rows = this.#db
      .query<LogRecord, [number, number, number, string, number]>(
        `SELECT offset, at, level, message, resource_id AS resourceId, fields FROM logs WHERE job = ?
         AND offset >= ? AND offset < ? AND level IN (SELECT value FROM json_each(?)) ORDER BY offset LIMIT ?`,
      )
      .all(job.seq, offset, end, JSON.stringify(levels), limit);
    const last = rows.at(-1);
    return { rows, next: rows.length === limit && last !== undefined ? last.offset + 1 : Math.max(offset, end) };
  }
}

function resultOf(row: ResultRow): ResultRecord {
  return { ...row, sha256: row.sha256 === "" ? null : row.sha256, history: decodeHistory(row.history) };
}
