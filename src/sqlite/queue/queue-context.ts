import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import type { JobHeader, JobStatus } from "../../jobs/job.ts";
import type { Lane } from "../../jobs/lane.ts";
import type { Clock } from "../../std/clock.ts";
import { BoundedMap } from "../../std/collections/bounded-map.ts";
import { type OnDrift, RECOUNT_LANES } from "../counters.ts";
import type { Changes, GroupCommit, TransactionCache } from "../group-commit.ts";
import type { StartedTasks } from "./started-tasks.ts";

/** The time that a change waits for others: longer than a commit takes, shorter than a client notices. */
export const GATHER_MS = 2;

/** Listeners that are called after a commit. */
export interface LaneListeners {
  onLane(lane: Lane): void;
  /** Called when a task of a job that is being cancelled waits again. */
  onWaitingAgain(job: number): void;
}

/** The state that the parts of the queue share. */
export interface QueueContext {
  readonly db: Database;
  readonly commit: GroupCommit;
  readonly jobs: JobCache;
  readonly clock: Pick<Clock, "now" | "steady">;
  readonly started: StartedTasks;
  /** Tasks with uploads that this process has recorded. */
  readonly uploading: Set<number>;
  /** Called after a commit with the new state of a lane, which may be new to the listener. */
  readonly onLane: (lane: Lane) => void;
  /** Called after a commit that recounted a wrong counter. */
  readonly onDrift: OnDrift;
  /** Called after the commit that ended a job. */
  onFinished: (job: JobHeader, status: JobStatus) => void;
}

interface JobRow {
  seq: number;
  job_id: string;
  job_type: string;
  tenant: string;
  priority: JobHeader["priority"];
  trace_id: string;
  span_id: string;
  sampled: 0 | 1;
  manifest_url: string;
  created_at: number;
}

/** Headers in memory at most; the one that was read first leaves first. */
const HEADERS_MAX = 10_000;

/**
 * Headers of the jobs at work, so that a claim does not read them each time. The end of a job removes its entry. A
 * header that a transaction reads is valid from the commit on: after a rollback its number may become another job's.
 */
export class JobCache implements TransactionCache {
  readonly #db: Database;
  readonly #headers = new BoundedMap<number, JobHeader>(HEADERS_MAX);
  /** Headers that the open transaction has read. */
  readonly #uncommitted = new Map<number, JobHeader>();
  /** Jobs that are known to be past `queued`. */
  readonly started = new Set<number>();
  /** Jobs that are being cancelled. */
  readonly cancelling: Set<number>;

  constructor(db: Database) {
    this.#db = db;
    const rows = db.query<{ seq: number }, []>("SELECT seq FROM jobs WHERE cancelling = 1").all();
    this.cancelling = new Set(rows.map(({ seq }) => seq));
  }

  get(seq: number): JobHeader {
    const known = this.#headers.get(seq) ?? this.#uncommitted.get(seq);
    if (known !== undefined) return known;
    const row = this.#db
      .query<JobRow, [number]>(
        "SELECT seq, job_id, job_type, tenant, priority, trace_id, span_id, sampled, manifest_url, created_at FROM jobs WHERE seq = ?",
      )
      .get(seq);
    if (row === null) throw new Error(`job ${seq} is not in the queue`);
    const header: JobHeader = {
      seq: row.seq,
      jobId: row.job_id,
      jobType: row.job_type,
      tenant: row.tenant,
      priority: row.priority,
      traceId: row.trace_id,
      spanId: row.span_id,
      sampled: row.sampled === 1,
      manifestUrl: row.manifest_url,
      createdAt: row.created_at,
    };
    if (this.#db.inTransaction) this.#uncommitted.set(seq, header);
    else this.#headers.set(seq, header);
    return header;
  }

  keep(): void {
    for (const [seq, header] of this.#uncommitted) this.#headers.set(seq, header);
    this.#uncommitted.clear();
  }

  discard(): void {
    this.#uncommitted.clear();
  }

  forget(seq: number): void {
    this.#headers.delete(seq);
    this.started.delete(seq);
    this.cancelling.delete(seq);
  }
}

interface LaneRow {
  id: number;
  job: number;
  host: string;
  bucket: string;
  waiting: number;
  next_due: number;
}

const LANE_COLUMNS = "lanes.id, job, host, bucket, waiting, next_due";
/** The due time of a lane's first task. */
export const NEXT_DUE =
  "coalesce((SELECT min(available_at) FROM tasks WHERE lane = lanes.id AND available_at IS NOT NULL), next_due)";

/** Lanes with tasks that wait for a claim: those of staged jobs and of jobs that are being cancelled are left out. */
export const WAITING_LANES = `SELECT l.id, l.job, l.host, l.bucket, l.waiting, l.next_due FROM lanes l JOIN jobs j ON j.seq = l.job
  WHERE l.waiting > 0 AND j.status <> 'staged' AND j.cancelling = 0`;

/** Lanes that one turn of the event loop reads. */
export const LANES_AT_ONCE = 500;
const BEFORE_ALL = { nextDue: Number.MIN_SAFE_INTEGER, id: 0 };

/**
 * Lanes with waiting tasks, the first due first. Lanes of staged jobs and of jobs that are being cancelled are left
 * out.
 */
export function readLanes(
  context: QueueContext,
  limit: number,
  { nextDue, id }: Pick<Lane, "id" | "nextDue"> = BEFORE_ALL,
): Lane[] {
  const rows = context.db
    .query<LaneRow, [number, number, number]>(
      `${WAITING_LANES} AND (l.next_due, l.id) > (?, ?) ORDER BY l.next_due, l.id LIMIT ?`,
    )
    .all(nextDue, id, limit);
  return rows.map((row) => laneOf(context, row));
}

/** The same lanes with ids after `afterId`, in order of their ids. */
export function readLanesAfter(context: QueueContext, afterId: number, limit: number): Lane[] {
  const rows = context.db
    .query<LaneRow, [number, number]>(`${WAITING_LANES} AND l.id > ? ORDER BY l.id LIMIT ?`)
    .all(afterId, limit);
  return rows.map((row) => laneOf(context, row));
}

/** The lane of a host that is due first. It reads lanes in order of their due times until it finds one of the host. */
export function firstLaneOf(context: QueueContext, host: string): Lane | undefined {
  // Without a waiting task, the search would read all lanes.
  const waits = context.db.query<{ tasks: number }, [string]>("SELECT tasks FROM waits WHERE host = ?").get(host);
  if ((waits?.tasks ?? 0) === 0) return undefined;
  const row = context.db
    .query<LaneRow, [string]>(`${WAITING_LANES} AND l.host = ? ORDER BY l.next_due, l.id LIMIT 1`)
    .get(host);
  return row === null ? undefined : laneOf(context, row);
}

/** Lanes of a job with waiting tasks, ordered by host and bucket; with a position only those after it. */
export function readLanesOfJob(
  context: QueueContext,
  job: number,
  { host, bucket }: Pick<Lane, "host" | "bucket"> = { host: "", bucket: "" },
  limit: number,
): Lane[] {
  const rows = context.db
    .query<LaneRow, [number, string, string, number]>(
      `SELECT id, job, host, bucket, waiting, next_due FROM lanes
       WHERE job = ? AND (host, bucket) > (?, ?) AND waiting > 0 ORDER BY host, bucket LIMIT ?`,
    )
    .all(job, host, bucket, limit);
  return rows.map((row) => laneOf(context, row));
}

/** Announces the lanes of a job, those after `after` if it is given, one page in each turn of the event loop. */
export async function notifyLanes(
  context: QueueContext,
  job: number,
  after?: Pick<Lane, "host" | "bucket">,
): Promise<void> {
  for (let last = after; ; ) {
    if (last !== undefined) await setImmediate();
    const lanes = readLanesOfJob(context, job, last, LANES_AT_ONCE);
    for (const lane of lanes) context.onLane(lane);
    last = lanes.at(-1);
    if (lanes.length < LANES_AT_ONCE) return;
  }
}

/** Adds one task to its lane and returns the lane's new state, which the caller announces after the commit. */
export function growLane(context: QueueContext, lane: number, availableAt: number, changes: Changes): Lane {
  const row = context.db
    .query<LaneRow, [number, number, number]>(
      `UPDATE lanes SET waiting = waiting + 1, next_due = CASE WHEN waiting = 0 THEN ? ELSE min(next_due, ?) END
       WHERE id = ? RETURNING id, job, host, bucket, waiting, next_due`,
    )
    .get(availableAt, availableAt, lane);
  if (row === null) throw new Error(`lane ${lane} is not in the queue`);
  changes.waited(row.host, 1);
  return laneOf(context, row);
}

/**
 * Removes claimed tasks from their lanes and returns the lanes by number. A lane that is gone with its job, and from
 * which no task was taken, is absent.
 */
export function shrinkLanes(
  context: QueueContext,
  taken: readonly (readonly [lane: number, tasks: number])[],
  changes: Changes,
): Map<number, Lane> {
  const rows = context.db
    .query<LaneRow, [string]>(
      `UPDATE OR IGNORE lanes SET waiting = waiting - (asked.value ->> 1), next_due = ${NEXT_DUE}
       FROM json_each(?) AS asked WHERE lanes.id = asked.value ->> 0 RETURNING ${LANE_COLUMNS}`,
    )
    .all(JSON.stringify(taken));
  const lanes = new Map(rows.map((row) => [row.id, laneOf(context, row)]));
  for (const [id, tasks] of taken) {
    const lane = lanes.get(id);
    if (lane !== undefined) {
      changes.waited(lane.host, -tasks);
      continue;
    }
    const recounted = recountLane(context, id, tasks, changes);
    if (recounted !== undefined) lanes.set(id, recounted);
  }
  return lanes;
}

/** Recounts a lane whose counter was below the number of tasks taken. */
function recountLane(context: QueueContext, lane: number, taken: number, changes: Changes): Lane | undefined {
  const find = context.db.query<LaneRow, [number]>(`SELECT ${LANE_COLUMNS} FROM lanes WHERE id = ?`);
  const before = find.get(lane);
  if (before === null && taken === 0) return undefined;
  if (before === null) throw new Error(`lane ${lane} is not in the queue`);
  context.db.query<never, [number]>(`${RECOUNT_LANES} AND id = ?`).run(lane);
  context.db.query<never, [number]>(`UPDATE lanes SET next_due = ${NEXT_DUE} WHERE id = ?`).run(lane);
  const row = find.get(lane) ?? before;
  changes.laneDrifted = true;
  changes.after("notify", () => context.onDrift("lanes"));
  return laneOf(context, row);
}

function laneOf(context: QueueContext, row: LaneRow): Lane {
  return {
    id: row.id,
    job: context.jobs.get(row.job),
    host: row.host,
    bucket: row.bucket,
    waiting: row.waiting,
    nextDue: row.next_due,
  };
}

/** Reserves `count` numbers and returns the last one. A rollback releases them. */
export function nextNumber(context: QueueContext, sequence: "job" | "task" | "claim", count: number): number {
  const row = context.db
    .query<{ last: number }, [number, string]>("UPDATE sequences SET last = last + ? WHERE name = ? RETURNING last")
    .get(count, sequence);
  if (row === null) throw new Error(`the sequence ${sequence} is missing`);
  return row.last;
}
