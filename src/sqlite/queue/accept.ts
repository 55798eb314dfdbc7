import type { Database } from "bun:sqlite";
import type { JobHeader } from "../../jobs/job.ts";
import type { Lane } from "../../jobs/lane.ts";
import {
  type Acceptance,
  type Acceptor,
  IdempotencyTakenError,
  type IdempotentAnswer,
  type NewJob,
  QueueFullError,
  type StagedJob,
} from "../../jobs/stores/acceptor.ts";
import { hostOf, type Task } from "../../jobs/task.ts";
import { numbered } from "../../std/counted.ts";
import { insertRows } from "../file/insert-rows.ts";
import type { Changes } from "../group-commit.ts";
import { encodeTask } from "../task-codec.ts";
import { readDepth } from "./depth.ts";
import { LANES_AT_ONCE, nextNumber, notifyLanes, type QueueContext, readLanesOfJob } from "./queue-context.ts";
import { addWaitsOfJob } from "./waits.ts";

/** Rows that one commit deletes at most: a few milliseconds. */
export const ROWS_PER_COMMIT = 1000;

interface Staging {
  readonly staged: StagedJob;
  /** The job's lanes, where all of them are new. */
  readonly lanes?: readonly NewLane[];
}

type NewLane = Omit<Lane, "job">;

/** Writes tasks of a job that is not live yet; the first call also writes the job. Runs inside a transaction. */
function stageTasks(
  context: QueueContext,
  job: NewJob,
  tasks: readonly Task[],
  before: StagedJob | undefined,
): Staging {
  const lastTask = nextNumber(context, "task", tasks.length);
  const firstTask = lastTask - tasks.length + 1;
  if (before === undefined) {
    const staged = { seq: nextNumber(context, "job", 1), firstTask, lastTask, total: tasks.length };
    insertJob(context, job, staged);
    return { staged, lanes: insertTasks(context, staged, tasks, insertLanes) };
  }
  const staged = { ...before, lastTask, total: before.total + tasks.length };
  context.db
    .query<never, [number, number, number]>("UPDATE jobs SET total = ?, last_task = ? WHERE seq = ?")
    .run(staged.total, staged.lastTask, staged.seq);
  insertTasks(context, { seq: staged.seq, firstTask }, tasks, addToLanes);
  return { staged };
}

/**
 * Makes a job live. Runs inside a transaction.
 * @throws QueueFullError, IdempotencyTakenError
 */
function acceptJob(context: QueueContext, acceptance: Acceptance, changes: Changes): JobHeader {
  const { job, idempotency } = acceptance;
  const { staged, lanes } = stageTasks(context, job, acceptance.tasks, acceptance.staged);
  addPending(context, staged.total, acceptance.pendingMax);
  if (idempotency !== undefined) rememberKey(context, job, staged.seq, idempotency);
  context.db.query<never, [number]>("UPDATE jobs SET status = 'queued' WHERE seq = ?").run(staged.seq);
  changes.events.push({
    at: job.createdAt,
    job: staged.seq,
    kind: {
      $case: "jobAccepted",
      value: {
        jobId: job.jobId,
        jobType: job.jobType,
        tenant: job.tenant,
        priority: job.priority,
        traceId: job.traceId,
        manifestUrl: job.manifestUrl,
        total: staged.total,
        firstTask: staged.firstTask,
        lastTask: staged.lastTask,
        idempotencyKey: idempotency?.key ?? "",
      },
    },
  });
  addWaitsOfJob(context, staged.seq);
  announceLanes(context, staged.seq, lanes, changes);
  return { ...job, seq: staged.seq };
}

/** Announces the lanes of a job that goes live; those of a staged job are read, a page in each turn. */
function announceLanes(
  context: QueueContext,
  seq: number,
  lanes: readonly NewLane[] | undefined,
  changes: Changes,
): void {
  const job = context.jobs.get(seq);
  const first = lanes?.map((lane) => ({ ...lane, job })) ?? readLanesOfJob(context, seq, undefined, LANES_AT_ONCE);
  changes.after("notify", () => {
    for (const lane of first) context.onLane(lane);
    if (lanes !== undefined || first.length < LANES_AT_ONCE) return;
    // The next start reads all lanes, should the store fail, or close, meanwhile.
    notifyLanes(context, seq, first.at(-1)).catch(() => {});
  });
}

/**
 * Removes a job that never became live, with its tasks; a live one stays. It uses commits of a bounded size with turns
 * of the event loop between them. The job's own row goes last, so that the next start finds an interrupted removal.
 */
export async function removeStaged(
  { commit, db }: QueueContext,
  { seq, firstTask, lastTask }: Omit<StagedJob, "total">,
): Promise<void> {
  const staged = db.query<unknown, [number]>("SELECT 1 FROM jobs WHERE seq = ? AND status = 'staged'");
  for (let from = firstTask; from <= lastTask; from += ROWS_PER_COMMIT) {
    const to = Math.min(lastTask, from + ROWS_PER_COMMIT - 1);
    const isGoing = await commit.run(() => {
      if (staged.get(seq) === null) return false;
      removeWaiting(db, seq, from, to);
      return true;
    });
    if (!isGoing) return;
  }
  await commit.run(() => {
    db.query<never, [number]>("DELETE FROM jobs WHERE seq = ? AND status = 'staged'").run(seq);
  });
}

/** Removes the tasks of a job with ids in a range, and the lanes that this empties. */
function removeWaiting(db: Database, job: number, from: number, to: number): void {
  const removed = db
    .query<{ lane: number }, [number, number, number]>(
      "DELETE FROM tasks WHERE id BETWEEN ? AND ? AND job = ? RETURNING lane",
    )
    .all(from, to, job);
  db.query<never, [number, number]>("UPDATE jobs SET total = total - ? WHERE seq = ?").run(removed.length, job);
  const tasks = new Map<number, number>();
  for (const { lane } of removed) tasks.set(lane, (tasks.get(lane) ?? 0) + 1);
  const shrink = db.query<never, [number, number]>("UPDATE lanes SET waiting = waiting - ? WHERE id = ?");
  const remove = db.query<never, [number]>("DELETE FROM lanes WHERE id = ? AND waiting = 0");
  for (const [lane, count] of tasks) {
    shrink.run(count, lane);
    remove.run(lane);
  }
}

/** Removes up to `ROWS_PER_COMMIT` lanes of a job and returns their number. Runs inside a transaction. */
export function removeLanes({ db }: Pick<QueueContext, "db">, job: number): number {
  return db
    .query<never, [number, number]>("DELETE FROM lanes WHERE id IN (SELECT id FROM lanes WHERE job = ? LIMIT ?)")
    .run(job, ROWS_PER_COMMIT).changes;
}

/** The first answer under a key, if it is still kept. */
function findIdempotent(
  context: QueueContext,
  tenant: string,
  key: string,
): { fingerprint: Uint8Array; answer: string } | undefined {
  const row = context.db
    .query<{ fingerprint: Uint8Array; answer: string }, [string, string]>(
      "SELECT fingerprint, answer FROM idempotency WHERE tenant = ? AND key = ?",
    )
    .get(tenant, key);
  return row ?? undefined;
}

/** Adds to the depth at once and not at the end of the commit, so that later members of the commit see it. */
function addPending(context: QueueContext, tasks: number, max: number): void {
  const { pending, running, retrying } = readDepth(context);
  const before = pending + running + retrying;
  if (before + tasks > max) {
    throw new QueueFullError(
      `the queue holds ${numbered(before, "task")}; ${tasks} more would exceed the limit of ${max}`,
    );
  }
  context.db.query<never, [number]>("UPDATE depth SET tasks = tasks + ? WHERE state = 'pending'").run(tasks);
}

function insertJob(context: QueueContext, job: NewJob, { seq, total, firstTask, lastTask }: StagedJob): void {
  context.db
    .query<
      never,
      [number, string, string, string, string, string, string, number, string, number, number, number, number]
    >(
      `INSERT INTO jobs (seq, job_id, job_type, tenant, priority, trace_id, span_id, sampled, manifest_url, status, total,
         first_task, last_task, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'staged', ?, ?, ?, ?)`,
    )
    .run(
      seq,
      job.jobId,
      job.jobType,
      job.tenant,
      job.priority,
      job.traceId,
      job.spanId,
      job.sampled ? 1 : 0,
      job.manifestUrl,
      total,
      firstTask,
      lastTask,
      job.createdAt,
    );
}

/** `writeLanes` counts the tasks in the job's lanes. Returns what it returns: those lanes. */
function insertTasks<L extends Pick<Lane, "id">>(
  context: QueueContext,
  { seq: job, firstTask }: Pick<StagedJob, "seq" | "firstTask">,
  tasks: readonly Task[],
  writeLanes: WriteLanes<L>,
): L[] {
  const now = context.clock.steady();
  const counts = new Map<string, LaneCount>();
  const laneOfTask = tasks.map(({ url, bucket }) => {
    const host = hostOf(url);
    const name = laneName(host, bucket);
    let count = counts.get(name);
    if (count === undefined) counts.set(name, (count = { host, bucket, at: counts.size, tasks: 0 }));
    count.tasks++;
    return count.at;
  });
  const lanes = writeLanes(context, job, [...counts.values()], now);
  const rows = tasks.map((task, at): [number, number, number, number, Uint8Array] => {
    const lane = lanes[laneOfTask[at] ?? -1];
    if (lane === undefined) throw new Error("a task has no lane");
    return [firstTask + at, job, lane.id, now, encodeTask(task)];
  });
  insertRows(
    context.db,
    "INSERT INTO tasks (id, job, lane, state, available_at, payload)",
    "(?, ?, ?, 'pending', ?, ?)",
    rows,
  );
  return lanes;
}

/** Returns the lanes in the order of `counts`. */
type WriteLanes<L> = (context: QueueContext, job: number, counts: readonly LaneCount[], dueAt: number) => L[];

interface LaneCount {
  readonly host: string;
  readonly bucket: string;
  /** Its place among the lanes of the same call. */
  readonly at: number;
  tasks: number;
}

/** Neither has a space in it. */
function laneName(host: string, bucket: string): string {
  return `${host} ${bucket}`;
}

/** Writes the lanes of a job that has none yet. */
function insertLanes({ db }: QueueContext, job: number, counts: readonly LaneCount[], nextDue: number): NewLane[] {
  // SQLite keeps the highest number that AUTOINCREMENT ever gave, and raises it with each number that it is given.
  const last = db.query<{ seq: number }, []>("SELECT seq FROM sqlite_sequence WHERE name = 'lanes'").get()?.seq ?? 0;
  const lanes = counts.map(({ host, bucket, at, tasks: waiting }) => ({
    id: last + 1 + at,
    host,
    bucket,
    waiting,
    nextDue,
  }));
  const rows = lanes.map(({ id, host, bucket, waiting }) => [id, job, host, bucket, waiting, nextDue]);
  insertRows(db, "INSERT INTO lanes (id, job, host, bucket, waiting, next_due)", "(?, ?, ?, ?, ?, ?)", rows);
  return lanes;
}

/** Counts new tasks in a job's lanes, by one statement for all of them. */
function addToLanes(
  { db }: QueueContext,
  job: number,
  counts: readonly LaneCount[],
  dueAt: number,
): Pick<Lane, "id">[] {
  const rows = db
    .query<Pick<Lane, "id" | "host" | "bucket">, [number, number, string]>(
      `INSERT INTO lanes (job, host, bucket, waiting, next_due)
       SELECT ?, value ->> 0, value ->> 1, value ->> 2, ? FROM json_each(?) WHERE true
       ON CONFLICT (job, host, bucket) DO UPDATE
         SET waiting = waiting + excluded.waiting, next_due = min(next_due, excluded.next_due)
       RETURNING id, host, bucket`,
    )
    .all(job, dueAt, JSON.stringify(counts.map(({ host, bucket, tasks }) => [host, bucket, tasks])));
  // SQLite promises no order for the rows that RETURNING gives.
  const ids = new Map(rows.map(({ id, host, bucket }) => [laneName(host, bucket), id]));
  return counts.map(({ host, bucket }) => {
    const id = ids.get(laneName(host, bucket));
    if (id === undefined) throw new Error("a lane was neither inserted nor found");
    return { id };
  });
}

/**
 * The lane of a job's tasks for a host and a bucket; a new one is empty. No task of it is due before `dueAt`.
 */
export function ensureLane(
  context: QueueContext,
  lane: { job: number; host: string; bucket: string },
  dueAt: number,
): number {
  const row = context.db
    .query<{ id: number }, [number, string, string, number]>(
      `INSERT INTO lanes (job, host, bucket, waiting, next_due) VALUES (?, ?, ?, 0, ?)
       ON CONFLICT (job, host, bucket) DO UPDATE SET next_due = min(next_due, excluded.next_due) RETURNING id`,
    )
    .get(lane.job, lane.host, lane.bucket, dueAt);
  if (row === null) throw new Error("a lane was neither inserted nor found");
  return row.id;
}

function rememberKey(
  context: QueueContext,
  job: NewJob,
  seq: number,
  idempotency: NonNullable<Acceptance["idempotency"]>,
): void {
  const { changes } = context.db
    .query<never, [string, string, Uint8Array, string, number, number]>(
      `INSERT INTO idempotency (tenant, key, fingerprint, answer, job, created_at) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    .run(job.tenant, idempotency.key, idempotency.fingerprint, idempotency.answer, seq, job.createdAt);
  if (changes === 0) throw new IdempotencyTakenError("another job was accepted under this key");
}

export class JobAcceptor implements Acceptor {
  readonly #context: QueueContext;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  stage(job: NewJob, tasks: readonly Task[], before?: StagedJob): Promise<StagedJob> {
    return this.#context.commit.run(() => stageTasks(this.#context, job, tasks, before).staged);
  }

  unstage(staged: StagedJob): Promise<void> {
    return removeStaged(this.#context, staged);
  }

  accept(acceptance: Acceptance): Promise<JobHeader> {
    return this.#context.commit.run((changes) => acceptJob(this.#context, acceptance, changes));
  }

  async findIdempotent(tenant: string, key: string): Promise<IdempotentAnswer | undefined> {
    return findIdempotent(this.#context, tenant, key);
  }
}
