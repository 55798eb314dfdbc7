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
  begun: 0 | 1;
  claimedAt: number;
  crashTimes: string;
  payload: Uint8Array;
  history: Uint8Array | null;
}

/** An attempt that ended with the process; nobody knows after how long. */
const CRASH: Omit<AttemptRecord, "startedAt"> = {
  durationMs: 0,
  code: "TASK_INTERRUPTED",
  message: "the process crashed while this attempt was under way, after an unknown time",
  bytes: 0,
};

/** Which of the interrupted tasks a crash counts against. */
export type CrashCount = "nobody" | "begun" | "claimed";

/**
 * Whom to blame for the end of the last process: those tasks that ran, not those that waited in memory. If it died
 * before any start was written down, each of them may have done it. Nobody, if it was told twice to stop.
 */
export function crashCountOf(context: QueueContext): CrashCount {
  const meta = context.db.query<{ value: string }, []>("SELECT value FROM meta WHERE name = 'abandoned'").get();
  if (meta?.value === "1") return "nobody";
  const begun = context.db
    .query<{ id: number }, []>(`SELECT id FROM tasks WHERE claim_id IS NOT NULL AND id IN (${STARTED}) LIMIT 1`)
    .get();
  return begun === null ? "claimed" : "begun";
}

/** Notes that the process ends now because it was told so, and not by a crash; `false` takes that back. */
export function writeAbandoned(context: QueueContext, abandoned: boolean): void {
  context.db
    .query<never, [string]>("UPDATE meta SET value = ? WHERE name = 'abandoned' AND value <> ?1")
    .run(abandoned ? "1" : "0");
}

/** Tasks that were claimed when the process died, at most `limit`. */
export function readInterrupted(context: QueueContext, blame: CrashCount, limit: number): InterruptedTask[] {
  const rows = context.db
    .query<ClaimedRow, [number]>(
      `SELECT id, claim_id AS claim, job, lane, attempts, crashes, id IN (${STARTED}) AS begun, claimed_at AS claimedAt,
         crash_times AS crashTimes, payload, history FROM tasks WHERE claim_id IS NOT NULL
       ORDER BY claim_id, id LIMIT ?`,
    )
    .all(limit);
  return rows.map((row) => interruptedTask(row, isBlamed(row, blame)));
}

function interruptedTask(row: ClaimedRow, blamed: boolean): InterruptedTask {
  const times = JSON.parse(row.crashTimes) as number[];
  return {
    id: row.id,
    claimId: row.claim,
    job: row.job,
    lane: row.lane,
    attempts: row.attempts,
    crashes: row.crashes + (blamed ? 1 : 0),
    crashTimes: (blamed ? [...times, row.claimedAt] : times).slice(-CRASHES_MAX),
    task: decodeTask(row.payload),
    history: decodeHistory(row.history),
  };
}

/** A suspect runs only once its start is on the disk: where that is not noted, it did not run. */
function isBlamed(row: Pick<ClaimedRow, "begun" | "crashes">, blame: CrashCount): boolean {
  if (blame === "nobody") return false;
  return row.begun === 1 || (blame === "claimed" && !isSuspect(row));
}

/** Whether an interrupted task ran at too many crashes. */
export function isPoison(interrupted: Pick<InterruptedTask, "crashes">): boolean {
  return interrupted.crashes >= CRASHES_MAX;
}

/**
 * Puts an interrupted task back, or buries it if it ran at too many crashes. `token` is what its object carries if a
 * request that was under way stores it later. Runs inside a transaction.
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
    addOrphan(context, { task: id, bucket: task.bucket, key: task.key, kind: "object", name: token });
  }
  if (isPoison(interrupted)) {
    bury(context, interrupted, context.clock.now(), changes);
    return;
  }
  const state = waitingState(interrupted);
  // Suspects run first, while nothing else does yet.
  const dueAt = isSuspect(interrupted) ? frontOf(context, interrupted.lane) : context.clock.steady();
  context.db
    .query<never, [string, number, string, number, number]>(
      `UPDATE tasks SET state = ?, claim_id = NULL, claimed_at = NULL, crashes = ?, crash_times = ?, may_have_stored = 1,
         available_at = ? WHERE id = ?`,
    )
    .run(state, interrupted.crashes, JSON.stringify(interrupted.crashTimes), dueAt, interrupted.id);
  requeue(context, { lane: interrupted.lane, state, availableAt: dueAt }, changes);
}

/** A due time that is before all others of a lane. */
function frontOf({ db, clock }: QueueContext, lane: number): number {
  const row = db
    .query<{ first: number | null }, [number]>(
      "SELECT min(available_at) AS first FROM tasks WHERE lane = ? AND available_at IS NOT NULL",
    )
    .get(lane);
  return Math.min(clock.steady(), (row?.first ?? Number.POSITIVE_INFINITY) - 1);
}

function bury(
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

/** Removes jobs whose acceptance never came, and says how many. */
export async function sweepStaged(context: QueueContext): Promise<number> {
  const staged = context.db
    .query<{ seq: number; firstTask: number; lastTask: number }, []>(
      "SELECT seq, first_task AS firstTask, last_task AS lastTask FROM jobs WHERE status = 'staged'",
    )
    .all();
  for (const job of staged) await removeStaged(context, job);
  return staged.length;
}
