import { CRASHES_MAX, isSuspect } from "../../jobs/crash-limit.ts";
import { type InterruptedTask } from "../../jobs/stores/recovery.ts";
import { type AttemptRecord, hostOf, withAttempt } from "../../jobs/task.ts";
import type { Changes } from "../group-commit.ts";
import { removeStaged } from "../queue/accept.ts";
import { waitingState } from "../queue/claim.ts";
import type { QueueContext } from "../queue/queue-context.ts";
import { failedEvent, requeue } from "../queue/settle-task.ts";
import { STARTED } from "../queue/started-tasks.ts";
import { decodeHistory, decodeTask } from "../task-codec.ts";
import { addOrphan } from "../uploads/orphans.ts";

interface ClaimedRow {
  id: number;
  claim: number;
  job: number;
  lane: number;
  attempts: number;
  crashes: number;
  started: 0 | 1;
  claimedAt: number;
  crashTimes: string;
  payload: Uint8Array;
  history: Uint8Array | null;
}

/** An attempt that ended with the process, after an unknown time. */
const CRASH: Omit<AttemptRecord, "startedAt"> = {
  durationMs: 0,
  code: "TASK_INTERRUPTED",
  message: "the process crashed while this attempt was under way, after an unknown time",
  bytes: 0,
};

/** The interrupted tasks whose crash count rises. */
type CrashCount = "none" | "started" | "claimed";

/**
 * The tasks that a crash counts against: those that ran, not those that waited in memory. If no start was recorded
 * before the crash, every claimed task counts. After a second stop signal no task does.
 */
export function crashCountOf(context: QueueContext): CrashCount {
  const meta = context.db.query<{ value: string }, []>("SELECT value FROM meta WHERE name = 'abandoned'").get();
  if (meta?.value === "1") return "none";
  const started = context.db
    .query<{ id: number }, []>(`SELECT id FROM tasks WHERE claim_id IS NOT NULL AND id IN (${STARTED}) LIMIT 1`)
    .get();
  return started === null ? "claimed" : "started";
}

/** Notes that the process ends by a stop signal and not by a crash; `false` removes the note. */
export function writeAbandoned(context: QueueContext, abandoned: boolean): void {
  context.db
    .query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'abandoned' AND value <> ?1")
    .run(abandoned ? "1" : "0");
}

/** Tasks that were claimed when the process died, at most `limit`. */
export function readInterrupted(context: QueueContext, crashCount: CrashCount, limit: number): InterruptedTask[] {
  const rows = context.db
    .query<ClaimedRow, [number]>(
      `SELECT id, claim_id AS claim, job, lane, attempts, crashes, id IN (${STARTED}) AS started, claimed_at AS claimedAt,
         crash_times AS crashTimes, payload, history FROM tasks WHERE claim_id IS NOT NULL
       ORDER BY claim_id, id LIMIT ?`,
    )
    .all(limit);
  return rows.map((row) => interruptedTask(row, countsAsCrash(row, crashCount)));
}

function interruptedTask(row: ClaimedRow, countsCrash: boolean): InterruptedTask {
  const times = JSON.parse(row.crashTimes) as number[];
  return {
    id: row.id,
    claimId: row.claim,
    job: row.job,
    lane: row.lane,
    attempts: row.attempts,
    crashes: row.crashes + (countsCrash ? 1 : 0),
    crashTimes: (countsCrash ? [...times, row.claimedAt] : times).slice(-CRASHES_MAX),
    task: decodeTask(row.payload),
    history: decodeHistory(row.history),
  };
}

/** Whether the crash counts against a task. A suspect did not run if its start is not recorded. */
function countsAsCrash(row: Pick<ClaimedRow, "started" | "crashes">, crashCount: CrashCount): boolean {
  if (crashCount === "none") return false;
  return row.started === 1 || (crashCount === "claimed" && !isSuspect(row));
}

/** Whether an interrupted task reached the limit of crashes. */
export function isPoison(interrupted: Pick<InterruptedTask, "crashes">): boolean {
  return interrupted.crashes >= CRASHES_MAX;
}

/**
 * Requeues an interrupted task, or dead-letters it if it is a poison task. `token` marks the object that a request of
 * the last process may still store. That request may have opened an upload to probe the server, too, of which only the
 * memory knew. Runs inside a transaction.
 */
export function putBack(
  context: QueueContext,
  interrupted: InterruptedTask,
  token: string | undefined,
  changes: Changes,
): void {
  changes.stateChanged("running", -1);
  const { id, task } = interrupted;
  if (token !== undefined) {
    const left = { task: id, bucket: task.bucket, key: task.key };
    addOrphan(context, { ...left, kind: "object", name: token });
    addOrphan(context, { ...left, kind: "upload", name: "" });
  }
  if (isPoison(interrupted)) {
    deadLetterPoison(context, interrupted, context.clock.now(), changes);
    return;
  }
  const state = waitingState(interrupted);
  // Suspects run first, before other tasks start.
  const dueAt = isSuspect(interrupted) ? frontOf(context, interrupted.lane) : context.clock.steady();
  context.db
    .query<never, [string, number, string, number, number]>(
      `UPDATE tasks SET state = ?, claim_id = NULL, claimed_at = NULL, crashes = ?, crash_times = ?, may_have_stored = 1,
         available_at = ? WHERE id = ?`,
    )
    .run(state, interrupted.crashes, JSON.stringify(interrupted.crashTimes), dueAt, interrupted.id);
  requeue(context, { lane: interrupted.lane, state, availableAt: dueAt }, changes);
}

/** A due time before all others in a lane. */
function frontOf({ db, clock }: QueueContext, lane: number): number {
  const row = db
    .query<{ first: number | null }, [number]>(
      "SELECT min(available_at) AS first FROM tasks WHERE lane = ? AND available_at IS NOT NULL",
    )
    .get(lane);
  return Math.min(clock.steady(), (row?.first ?? Number.POSITIVE_INFINITY) - 1);
}

function deadLetterPoison(
  context: QueueContext,
  { id, job, task, history, attempts, crashTimes }: InterruptedTask,
  now: number,
  changes: Changes,
): void {
  const message = `the process crashed ${CRASHES_MAX} times while this task ran`;
  context.db
    .query<never, [number, number]>(
      `UPDATE tasks SET state = 'failed', letter = 1, claim_id = NULL, claimed_at = NULL, crashes = ?, crash_times = '[]',
         payload = x'', history = NULL
       WHERE id = ?`,
    )
    .run(CRASHES_MAX, id);
  changes.addCount(job, "failed");
  changes.addCount(job, "letters");
  const crashAt = (startedAt: number): AttemptRecord => ({ ...CRASH, startedAt });
  const known = crashTimes.slice(0, -1).map(crashAt).reduce(withAttempt, history);
  const attempt = crashAt(crashTimes.at(-1) ?? now);
  const failed = { id, job: context.jobs.get(job), task, host: hostOf(task.url), history: known };
  changes.events.push(
    failedEvent(failed, { kind: "discard", code: "TASK_INTERRUPTED", message, attempt, attempts }, now),
  );
}

/** Removes jobs that were never accepted. Returns their number. */
export async function sweepStaged(context: QueueContext): Promise<number> {
  const staged = context.db
    .query<{ seq: number; firstTask: number; lastTask: number }, []>(
      "SELECT seq, first_task AS firstTask, last_task AS lastTask FROM jobs WHERE status = 'staged'",
    )
    .all();
  for (const job of staged) await removeStaged(context, job);
  return staged.length;
}
