import { type JobCounters, statusOf } from "../../jobs/job.ts";
import { type Attempt, type ClaimedTask, withAttempt } from "../../jobs/task.ts";
import type { Settlement, Verdict } from "../../jobs/verdict.ts";
import type { Changes, NewEvent } from "../group-commit.ts";
import { attemptMessage, encodeHistory, historyMessage, taskMessage } from "../task-codec.ts";
import { waitingState } from "./claim.ts";
import { growLane, type QueueContext } from "./context.ts";
import { forgetUploadsOf } from "./uploads.ts";

type Verdicts = { [K in Verdict["kind"]]: Extract<Verdict, { kind: K }> };

/** Carries a verdict out. False if the claim is stale: then nothing changed. Runs inside a transaction. */
export function settleTask(
  context: QueueContext,
  { claimed, verdict }: Settlement,
  now: number,
  changes: Changes,
): boolean {
  if (!endClaim(context, claimed, verdict, now)) return false;
  changes.moved("running", -1);
  forgetUploadsOf(context, claimed.id, claimed.claimId);
  switch (verdict.kind) {
    case "complete":
      changes.end(claimed.job.seq, "completed");
      changes.events.push(completedEvent(claimed, verdict, now));
      break;
    case "discard":
      changes.end(claimed.job.seq, "failed");
      changes.events.push(failedEvent(claimed, verdict, now));
      break;
    case "retry":
    case "snooze":
      changes.events.push(postponedEvent(claimed, verdict, now));
      wait(context, claimed.lane, "retrying", verdict.availableAt, changes);
      break;
    case "release":
      wait(context, claimed.lane, waitingState(claimed), now, changes);
      break;
  }
  return true;
}

/** Counts what ended in this commit, and ends the jobs that have nothing left. The last thing before COMMIT. */
export function countEnded(context: QueueContext, now: number, changes: Changes): void {
  const count = context.db.query<JobCounters, [number, number, number, number]>(
    `UPDATE jobs SET completed = completed + ?, failed = failed + ?, cancelled = cancelled + ? WHERE seq = ?
     RETURNING total, completed, failed, cancelled`,
  );
  for (const [seq, ended] of changes.ended) {
    const counters = count.get(ended.completed, ended.failed, ended.cancelled, seq);
    if (counters === null) throw new Error(`job ${seq} is not in the queue`);
    const status = statusOf(counters);
    if (status === "in_progress") continue;
    context.db
      .query<never, [string, number, number]>("UPDATE jobs SET status = ?, finished_at = ? WHERE seq = ?")
      .run(status, now, seq);
    context.db.query<never, [number]>("DELETE FROM lanes WHERE job = ?").run(seq);
    changes.events.push({ at: now, job: seq, kind: { case: "jobFinished", value: { status } } });
    const job = context.jobs.get(seq);
    changes.afterCommit.push(() => {
      context.jobs.forget(seq);
      context.onFinished(job, status);
    });
  }
}

/** Puts one task back into its lane, where the broker finds it once this is committed. */
export function wait(
  context: QueueContext,
  lane: number,
  state: "pending" | "retrying",
  availableAt: number,
  changes: Changes,
): void {
  changes.moved(state, 1);
  const grown = growLane(context, lane, availableAt);
  changes.afterCommit.push(() => context.onLane(grown));
}

function endClaim(context: QueueContext, claimed: ClaimedTask, verdict: Verdict, now: number): boolean {
  switch (verdict.kind) {
    case "complete":
    case "discard":
      return endTask(context, claimed, verdict.kind === "complete" ? "completed" : "failed");
    case "retry":
      return postpone(context, claimed, {
        availableAt: verdict.availableAt,
        attempts: claimed.attempts + 1,
        history: withAttempt(claimed.history, verdict.attempt),
        waitingSince: undefined,
      });
    case "snooze":
      return postpone(context, claimed, {
        availableAt: verdict.availableAt,
        attempts: claimed.attempts,
        history: withAttempt(claimed.history, verdict.attempt),
        waitingSince: verdict.waitingSince,
      });
    case "release":
      return release(context, claimed, now);
  }
}

function endTask(context: QueueContext, { id, claimId }: ClaimedTask, state: "completed" | "failed"): boolean {
  // Its headers may be secrets: they go with the need for them.
  return (
    context.db
      .query<never, [string, number, number]>(
        `UPDATE tasks SET state = ?, claim_id = NULL, payload = x'', history = NULL, waiting_class = NULL,
           waiting_since = NULL WHERE id = ? AND claim_id = ?`,
      )
      .run(state, id, claimId).changes > 0
  );
}

interface Postponement {
  readonly availableAt: number;
  readonly attempts: number;
  readonly history: readonly Attempt[];
  readonly waitingSince: ClaimedTask["waitingSince"];
}

function postpone(context: QueueContext, { id, claimId }: ClaimedTask, to: Postponement): boolean {
  return (
    context.db
      .query<never, [number, number, Uint8Array | null, string | null, number | null, number, number]>(
        `UPDATE tasks SET state = 'retrying', claim_id = NULL, available_at = ?, attempts = ?, history = ?,
           waiting_class = ?, waiting_since = ? WHERE id = ? AND claim_id = ?`,
      )
      .run(
        to.availableAt,
        to.attempts,
        encodeHistory(to.history),
        to.waitingSince?.class ?? null,
        to.waitingSince?.at ?? null,
        id,
        claimId,
      ).changes > 0
  );
}

function release(context: QueueContext, claimed: ClaimedTask, now: number): boolean {
  return (
    context.db
      .query<never, [string, number, number, number]>(
        "UPDATE tasks SET state = ?, claim_id = NULL, available_at = ? WHERE id = ? AND claim_id = ?",
      )
      .run(waitingState(claimed), now, claimed.id, claimed.claimId).changes > 0
  );
}

function completedEvent(claimed: ClaimedTask, { result }: Verdicts["complete"], at: number): NewEvent {
  return {
    at,
    job: claimed.job.seq,
    kind: {
      case: "taskCompleted",
      value: {
        task: claimed.id,
        resourceId: claimed.task.resourceId,
        url: claimed.task.url,
        finalUrl: result.finalUrl,
        httpStatus: result.httpStatus,
        bytes: result.bytes,
        sha256: Buffer.from(result.sha256, "hex"),
        etag: result.etag,
        contentType: result.contentType,
        storageUrl: result.storageUrl,
        startedAt: result.startedAt,
        attempts: claimed.attempts + 1,
        ...(claimed.history.length > 0 && { history: historyMessage(claimed.history) }),
      },
    },
  };
}

function postponedEvent(claimed: ClaimedTask, verdict: Verdicts["retry" | "snooze"], at: number): NewEvent {
  return {
    at,
    job: claimed.job.seq,
    kind: {
      case: "taskPostponed",
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

/** Also what `recover` buries goes out by this. */
export function failedEvent(
  failed: Pick<ClaimedTask, "id" | "job" | "task" | "host" | "history">,
  { code, message, attempt, attempts }: Verdicts["discard"],
  at: number,
): NewEvent {
  return {
    at,
    job: failed.job.seq,
    kind: {
      case: "taskFailed",
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
