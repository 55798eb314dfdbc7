import type { Failure, FailureClass } from "../jobs/failure.ts";
import { classOf, type FailureCode } from "../jobs/failure.ts";
import type { AttemptRecord, ClaimedTask } from "../jobs/task.ts";
import type { FailedOutcome, Outcome, Verdict } from "../jobs/verdict.ts";

export interface RetryPolicy {
  /** Attempts after the first one. */
  readonly maxRetries: number;
  /** Upper end of the first wait; it doubles with each attempt. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** How long a task may wait for a host that throttles. */
  readonly maxThrottleMs: number;
  /** How long a task may wait for its storage. */
  readonly maxUnavailableMs: number;
}

/** The longest wait that a host may ask for. */
export const RETRY_AFTER_MAX_MS = 15 * 60_000;

/** The inputs of a decision that are neither the task's nor the policy's. */
interface Circumstances {
  /** Milliseconds since the epoch, by the steady clock. */
  readonly now: number;
  /** From [0, 1): the jitter of a wait. */
  readonly random: number;
}

/** The verdict on a task after an attempt. Pure. */
export function decide(outcome: Outcome, claimed: ClaimedTask, at: Circumstances, policy: RetryPolicy): Verdict {
  switch (outcome.kind) {
    case "stored":
      return { kind: "complete", result: outcome.result };
    case "interrupted":
      return { kind: outcome.by === "cancel" ? "cancel" : "release" };
    case "failed":
      return decideFailure(outcome, claimed, at, policy);
  }
}

/** A wait by exponential backoff with full jitter, in milliseconds. `exponent` counts from 0. */
export function backoff(exponent: number, firstMs: number, maxMs: number, random: number): number {
  return Math.round(random * Math.min(maxMs, firstMs * 2 ** Math.min(exponent, 40)));
}

function decideFailure(
  { failure, attempt }: FailedOutcome,
  claimed: ClaimedTask,
  { now, random }: Circumstances,
  policy: RetryPolicy,
): Verdict {
  const attempts = claimed.attempts + 1;
  const discard: Verdict = { kind: "discard", code: failure.code, message: failure.message, attempt, attempts };
  switch (failure.class) {
    case "permanent":
      return discard;
    case "mismatch":
      // A replay keeps the history and counts attempts from 0.
      if (claimed.attempts > 0 && hasMismatch(claimed.history)) return discard;
      return { kind: "retry", attempt, availableAt: now + waitBefore(claimed.attempts, policy, random) };
    case "transient":
    case "rejected":
      if (attempts > policy.maxRetries) return discard;
      return { kind: "retry", attempt, availableAt: now + waitBefore(claimed.attempts, policy, random) };
    case "throttled":
    case "unavailable": {
      const waitingSince =
        claimed.waitingSince?.class === failure.class ? claimed.waitingSince : { class: failure.class, at: now };
      const longest = failure.class === "throttled" ? policy.maxThrottleMs : policy.maxUnavailableMs;
      if (now - waitingSince.at >= longest) return { ...discard, attempts: claimed.attempts };
      const availableAt = now + snoozeMs(failure, claimed.history, policy, random);
      return { kind: "snooze", attempt, availableAt, waitingSince };
    }
  }
}

function waitBefore(attempts: number, policy: RetryPolicy, random: number): number {
  return backoff(attempts, policy.backoffMs, policy.backoffMaxMs, random);
}

function snoozeMs(failure: Failure, history: readonly AttemptRecord[], policy: RetryPolicy, random: number): number {
  // A host that asks for 0 s would be asked in a loop, because no attempt is spent: our backoff applies then.
  if (failure.retryAfterMs !== undefined && failure.retryAfterMs > 0) {
    return Math.min(failure.retryAfterMs, RETRY_AFTER_MAX_MS);
  }
  const max = failure.class === "unavailable" ? Math.min(policy.backoffMaxMs, 30_000) : policy.backoffMaxMs;
  const half = Math.min(max, policy.backoffMs) / 2;
  // At least half a step: an outage does not end at once.
  return Math.round(half + backoff(trailing(history, failure.class), half, max - half, random));
}

/** The number of attempts in a row, up to the latest one, that failed with this class. */
function trailing(history: readonly AttemptRecord[], failureClass: FailureClass): number {
  let count = 0;
  for (let i = history.length - 1; i >= 0; i--) {
    const attempt = history[i];
    if (attempt === undefined || classOf(attempt.code as FailureCode, true) !== failureClass) break;
    count++;
  }
  return count;
}

function hasMismatch(history: readonly AttemptRecord[]): boolean {
  return history.some((attempt) => classOf(attempt.code as FailureCode) === "mismatch");
}
