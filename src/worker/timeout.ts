import { Failure } from "../jobs/failure.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import type { Attempt } from "./attempt.ts";
import { InterruptedError } from "./interrupted.ts";
import type { OverdueAttempts } from "./overdue-attempts.ts";
import type { Layer } from "./service.ts";

/**
 * Time that an aborted attempt has to clean up, in milliseconds: an upload takes three steps of at most 10 s each.
 * After that its worker abandons it.
 */
export const CLEAN_UP_MS = 35_000;

/**
 * Ends a call after `ms`, download and upload together, with `DOWNLOAD_TIMEOUT`. A call that still runs `CLEAN_UP_MS`
 * after its abort is abandoned. So its worker, its host's permit and the process's exit never depend on it.
 */
export function timeout(ms: number, clock: Clock, overdue: OverdueAttempts): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      const startedAt = clock.now();
      const timer = clock.after(ms, () => {
        attempt.abort(new Failure("DOWNLOAD_TIMEOUT", `the attempt took longer than ${ms} ms`));
      });
      const running = inner.call(attempt);
      try {
        return await endedOrAbandoned(running, attempt.signal, clock, () => {
          void trackOverdue(running, attempt, overdue);
          return abortedOutcome(attempt.signal.reason, startedAt, clock);
        });
      } finally {
        timer.cancel();
      }
    },
  });
}

/** The outcome of the call, or that of `abandon`, `CLEAN_UP_MS` after the abort. */
function endedOrAbandoned(
  running: Promise<Outcome>,
  signal: AbortSignal,
  clock: Clock,
  abandon: () => Outcome,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let timer: { cancel(): void } | undefined;
    const startTimer = () => {
      timer = clock.after(CLEAN_UP_MS, () => {
        try {
          resolve(abandon());
        } catch (error) {
          reject(error);
        }
      });
    };
    const end = () => {
      signal.removeEventListener("abort", startTimer);
      timer?.cancel();
    };
    if (signal.aborted) startTimer();
    else signal.addEventListener("abort", startTimer);
    running.then(
      (outcome) => {
        end();
        resolve(outcome);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}

async function trackOverdue(running: Promise<Outcome>, attempt: Attempt, overdue: OverdueAttempts): Promise<void> {
  overdue.add(attempt);
  try {
    await running;
  } catch {
    // Its task is settled already.
  } finally {
    overdue.delete(attempt);
  }
}

/** The outcome of an attempt that was aborted for this reason and abandoned. */
function abortedOutcome(reason: unknown, startedAt: number, clock: Clock): Outcome {
  if (reason instanceof InterruptedError) return { kind: "interrupted", by: reason.by };
  if (!(reason instanceof Failure)) throw reason;
  const durationMs = Math.max(0, clock.now() - startedAt);
  const { code, message } = reason;
  return { kind: "failed", failure: reason, attempt: { startedAt, durationMs, code, message, bytes: 0 } };
}
