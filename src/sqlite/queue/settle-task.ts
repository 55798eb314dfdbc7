import type { Event } from "../../gen/fetchbox/v1/event.ts";
import { isSuspect } from "../../jobs/crash-limit.ts";
import { type JobCounters, type JobStatus, statusOf } from "../../jobs/job.ts";
import { type AttemptRecord, type ClaimedTask, type TaskState, withAttempt } from "../../jobs/task.ts";
import type { Settlement, Verdict } from "../../jobs/verdict.ts";
import { publicUrl } from "../../net/public-url.ts";
import { RECOUNT_JOBS } from "../counters.ts";
import type { Changes, CounterChange } from "../group-commit.ts";
import { attemptMessage, encodeHistory, historyMessage, taskMessage } from "../task-codec.ts";
import { addOrphan, forgetObjectsOf } from "../uploads/orphans.ts";
import { leaveUploadsOf } from "../uploads/recorded-uploads.ts";
import { ROWS_PER_COMMIT, removeLanes } from "./accept.ts";
import { waitingState } from "./claim.ts";
import { growLane, type QueueContext } from "./queue-context.ts";

type EndState = Extract<TaskState, "completed" | "failed" | "cancelled">;
type Verdicts = { [K in Verdict["kind"]]: Extract<Verdict, { kind: K }> };

/** Applies a verdict. False if the claim is stale: no row is changed then. Runs inside a transaction. */
export function settleTask(context: QueueContext, settlement: Settlement, changes: Changes): boolean {
  const { claimed, verdict } = settlement;
  if (!endClaim(context, settlement)) return false;
  const now = context.clock.now();
  changes.stateChanged("running", -1);
  changes.after("memory", () => context.started.delete(claimed.id));
  noteLeft(context, settlement, changes);
  switch (verdict.kind) {
    case "complete":
      changes.addCount(claimed.job.seq, "completed");
      changes.events.push(completedEvent(claimed, verdict, now));
      break;
    case "discard":
      changes.addCount(claimed.job.seq, "failed");
      changes.addCount(claimed.job.seq, "letters");
      changes.events.push(failedEvent(claimed, verdict, now));
      break;
    case "cancel":
      changes.addCount(claimed.job.seq, "cancelled");
      changes.events.push(cancelledEvent(claimed, now));
      break;
    case "retry":
    case "snooze":
      changes.events.push(postponedEvent(claimed, verdict, now));
      requeue(context, { lane: claimed.lane, state: "retrying", availableAt: verdict.availableAt }, changes);
      break;
    case "release":
      requeue(
        context,
        { lane: claimed.lane, state: waitingState(claimed), availableAt: context.clock.steady() },
        changes,
      );
      break;
  }
  return true;
}

/** Records uploads and objects that the attempt may have left in the storage, for the cleaner. */
function noteLeft(context: QueueContext, { claimed, verdict, upload }: Settlement, changes: Changes): void {
  const { id, claimId, task } = claimed;
  if (context.uploading.has(id)) {
    leaveUploadsOf(context, id, claimId, upload?.closed ?? new Set());
    changes.after("memory", () => context.uploading.delete(id));
  }
  const { bucket, key } = task;
  if (upload?.probeOpen === true) addOrphan(context, { task: id, bucket, key, kind: "upload", name: "" });
  // An object that an earlier attempt stores from now on is the task's own.
  if (verdict.kind === "complete") {
    if (claimed.mayHaveStored) forgetObjectsOf(context, id);
  } else if (upload?.uploadBegan === true && upload.token !== undefined) {
    addOrphan(context, { task: id, bucket, key, kind: "object", name: upload.token });
  }
}

/**
 * Adds the changes of this commit to the counters of its jobs. It ends jobs without open tasks and reopens jobs with
 * replayed ones. It runs right before COMMIT.
 */
export function countEnded(context: QueueContext, changes: Changes): void {
  const now = context.clock.now();
  for (const [seq, change] of changes.counts) {
    const counted = count(context, seq, change) ?? recount(context, seq, changes);
    const isOpen = statusOf(counted) === "in_progress";
    // The end of a job is final and removes its lanes, so the counters are verified before it.
    const job =
      !isOpen && counted.finishedAt === null && hasOpenTasks(context, seq) ? recount(context, seq, changes) : counted;
    const status = statusOf(job);
    if (status === "in_progress" && job.finishedAt !== null) reopen(context, seq);
    else if (status !== "in_progress" && job.finishedAt === null) finish(context, { seq, status, now }, changes);
  }
}

type CountedJob = JobCounters & { readonly finishedAt: number | null };

const COUNTED = "total, completed, failed, cancelled, finished_at AS finishedAt";

/** Adds a change to a job's counters; `undefined` if they cannot be right. */
function count({ db }: QueueContext, seq: number, change: CounterChange): CountedJob | undefined {
  const job = db
    .query<CountedJob, [number, number, number, number, number]>(
      `UPDATE OR IGNORE jobs SET completed = completed + ?, failed = failed + ?, cancelled = cancelled + ?,
         letters = letters + ? WHERE seq = ? RETURNING ${COUNTED}`,
    )
    .get(change.completed, change.failed, change.cancelled, change.letters, seq);
  return job ?? undefined;
}

function recount({ db, onDrift }: QueueContext, seq: number, changes: Changes): CountedJob {
  db.query<never, [number]>(`${RECOUNT_JOBS} AND seq = ?`).run(seq);
  const job = db.query<CountedJob, [number]>(`SELECT ${COUNTED} FROM jobs WHERE seq = ?`).get(seq);
  if (job === null) throw new Error(`job ${seq} is not in the queue`);
  changes.after("notify", () => onDrift("jobs"));
  return job;
}

function hasOpenTasks({ db }: QueueContext, seq: number): boolean {
  const open = db.query<unknown, [number]>(
    `SELECT 1 FROM jobs j JOIN tasks t ON t.id BETWEEN j.first_task AND j.last_task AND t.job = j.seq
     WHERE j.seq = ? AND (t.available_at IS NOT NULL OR t.claim_id IS NOT NULL) LIMIT 1`,
  );
  return open.get(seq) !== null;
}

function finish(
  context: QueueContext,
  { seq, status, now }: { readonly seq: number; readonly status: JobStatus; readonly now: number },
  changes: Changes,
): void {
  context.db
    .query<never, [string, number, number]>("UPDATE jobs SET status = ?, finished_at = ?, cancelling = 0 WHERE seq = ?")
    .run(status, now, seq);
  if (removeLanes(context, seq) === ROWS_PER_COMMIT) {
    // If this fails, retention removes the lanes with the job.
    changes.after("notify", () => void removeOtherLanes(context, seq).catch(() => {}));
  }
  changes.events.push({ at: now, job: seq, kind: { $case: "jobFinished", value: { status } } });
  const job = context.jobs.get(seq);
  changes.after("notify", () => {
    // Behind the outbox, whose projections read the job: read again, it would stay in memory.
    context.jobs.forget(seq);
    context.onFinished(job, status);
  });
}

/** Removes the lanes of an ended job; it stops if a replay reopens the job. */
async function removeOtherLanes(context: QueueContext, seq: number): Promise<void> {
  const ended = context.db.query<unknown, [number]>("SELECT 1 FROM jobs WHERE seq = ? AND finished_at IS NOT NULL");
  const removeSome = () => (ended.get(seq) === null ? 0 : removeLanes(context, seq));
  while ((await context.commit.run(removeSome)) === ROWS_PER_COMMIT);
}

function reopen(context: QueueContext, seq: number): void {
  context.db
    .query<never, [number]>("UPDATE jobs SET status = 'in_progress', finished_at = NULL WHERE seq = ?")
    .run(seq);
}

/** A task that waits again; `availableAt` is a time of the steady clock. */
interface WaitingAgain {
  readonly lane: number;
  readonly state: "pending" | "retrying";
  readonly availableAt: number;
}

/** Adds one task to its lane, where the broker finds it after the commit. */
export function requeue(context: QueueContext, { lane, state, availableAt }: WaitingAgain, changes: Changes): void {
  changes.stateChanged(state, 1);
  const grown = growLane(context, lane, availableAt, changes);
  changes.after("notify", () => context.onLane(grown));
}

function endClaim(context: QueueContext, { claimed, verdict, upload }: Settlement): boolean {
  const mayHaveStored = claimed.mayHaveStored || upload?.uploadBegan === true;
  switch (verdict.kind) {
    case "complete":
    case "discard":
    case "cancel":
      return endTask(context, claimed, ENDS[verdict.kind], mayHaveStored);
    case "retry":
      return postpone(context, claimed, {
        availableAt: verdict.availableAt,
        attempts: claimed.attempts + 1,
        history: withAttempt(claimed.history, verdict.attempt),
        waitingSince: undefined,
        mayHaveStored,
      });
    case "snooze":
      return postpone(context, claimed, {
        availableAt: verdict.availableAt,
        attempts: claimed.attempts,
        history: withAttempt(claimed.history, verdict.attempt),
        waitingSince: verdict.waitingSince,
        mayHaveStored,
      });
    case "release":
      return release(context, claimed, mayHaveStored);
  }
}

const ENDS = { complete: "completed", discard: "failed", cancel: "cancelled" } as const;

function endTask(
  context: QueueContext,
  { id, claimId }: ClaimedTask,
  state: EndState,
  mayHaveStored: boolean,
): boolean {
  // The payload is emptied, since its headers may hold secrets.
  return (
    context.db
      .query<never, [string, number, number, boolean]>(
        `UPDATE tasks SET state = ?1, may_have_stored = ?4, letter = (?1 = 'failed'), claim_id = NULL, claimed_at = NULL, payload = x'', history = NULL,
           waiting_class = NULL, waiting_since = NULL WHERE id = ?2 AND claim_id = ?3`,
      )
      .run(state, id, claimId, mayHaveStored).changes > 0
  );
}

interface Postponement {
  readonly availableAt: number;
  readonly attempts: number;
  readonly history: readonly AttemptRecord[];
  readonly waitingSince: ClaimedTask["waitingSince"];
  readonly mayHaveStored: boolean;
}

function postpone(context: QueueContext, claimed: ClaimedTask, to: Postponement): boolean {
  // A suspect ran alone and its attempt ended without a crash, so it is not a suspect any more.
  const crashes = isSuspect(claimed) ? 0 : claimed.crashes;
  return (
    context.db
      .query<never, [number, number, Uint8Array | null, string | null, number | null, boolean, number, number, number]>(
        `UPDATE tasks SET state = 'retrying', claim_id = NULL, claimed_at = NULL, available_at = ?, attempts = ?, history = ?,
           waiting_class = ?, waiting_since = ?, may_have_stored = ?, crashes = ? WHERE id = ? AND claim_id = ?`,
      )
      .run(
        to.availableAt,
        to.attempts,
        encodeHistory(to.history),
        to.waitingSince?.class ?? null,
        to.waitingSince?.at ?? null,
        to.mayHaveStored,
        crashes,
        claimed.id,
        claimed.claimId,
      ).changes > 0
  );
}

function release(context: QueueContext, claimed: ClaimedTask, mayHaveStored: boolean): boolean {
  return (
    context.db
      .query<never, [string, number, boolean, number, number]>(
        `UPDATE tasks SET state = ?, claim_id = NULL, claimed_at = NULL, available_at = ?, may_have_stored = ?
         WHERE id = ? AND claim_id = ?`,
      )
      .run(waitingState(claimed), context.clock.steady(), mayHaveStored, claimed.id, claimed.claimId).changes > 0
  );
}

function completedEvent(claimed: ClaimedTask, { result }: Verdicts["complete"], at: number): Event {
  const value = {
    task: claimed.id,
    resourceId: claimed.task.resourceId,
    url: publicUrl(claimed.task.url),
    finalUrl: result.finalUrl,
    httpStatus: result.httpStatus,
    bytes: result.bytes,
    integrity: result.integrity,
    sha256: Buffer.from(result.sha256, "hex"),
    etag: result.etag,
    contentType: result.contentType,
    contentEncoding: result.contentEncoding,
    storageUrl: result.storageUrl,
    startedAt: result.startedAt,
    attempts: claimed.attempts + 1,
    history: claimed.history.length === 0 ? undefined : historyMessage(claimed.history),
  };
  return { at, job: claimed.job.seq, kind: { $case: "taskCompleted", value } };
}

/** The event of a cancelled task, running or waiting. */
export function cancelledEvent(
  cancelled: Pick<ClaimedTask, "id" | "task" | "attempts" | "history"> & { readonly job: { readonly seq: number } },
  at: number,
): Event {
  const { id, job, task, attempts, history } = cancelled;
  return {
    at,
    job: job.seq,
    kind: {
      $case: "taskCancelled",
      value: {
        task: id,
        resourceId: task.resourceId,
        url: publicUrl(task.url),
        attempts,
        history: history.length === 0 ? undefined : historyMessage(history),
      },
    },
  };
}

function postponedEvent(claimed: ClaimedTask, verdict: Verdicts["retry" | "snooze"], at: number): Event {
  return {
    at,
    job: claimed.job.seq,
    kind: {
      $case: "taskPostponed",
      value: {
        task: claimed.id,
        resourceId: claimed.task.resourceId,
        attempt: attemptMessage(verdict.attempt),
        attempts: claimed.attempts + (verdict.kind === "retry" ? 1 : 0),
        availableAt: verdict.availableAt,
      },
    },
  };
}

/** The event of a failed task, also of a poison task. */
export function failedEvent(
  failed: Pick<ClaimedTask, "id" | "job" | "task" | "host" | "history">,
  { code, message, attempt, attempts }: Verdicts["discard"],
  at: number,
): Event {
  return {
    at,
    job: failed.job.seq,
    kind: {
      $case: "taskFailed",
      value: {
        task: failed.id,
        code,
        message,
        attempts,
        host: failed.host,
        startedAt: attempt.startedAt,
        letter: { task: taskMessage(failed.task), history: historyMessage(withAttempt(failed.history, attempt)) },
      },
    },
  };
}
