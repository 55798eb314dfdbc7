import { Failure } from "../jobs/failure.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import { InterruptedError } from "./interrupted.ts";
import type { OverdueAttempts } from "./overdue-attempts.ts";
import type { Layer } from "./service.ts";

/**
 * An attempt that was aborted gets this long to clean up after itself, in milliseconds: an upload takes three steps of
 * at most 10 s. After that nobody waits for it.
 */
export const CLEAN_UP_MS = 35_000;

/**
 * Ends a call after `ms`, download and upload together: `DOWNLOAD_TIMEOUT`. The limit, a cancel and a shutdown race the
 * call: one that does not end `CLEAN_UP_MS` after its abort is left behind, so that its worker, its host's permit and
 * the process's end never depend on it.
 */
export function timeout(ms: number, clock: Clock, overdue: OverdueAttempts): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, attempt) {
      const startedAt = clock.now();
      const timer = clock.after(ms, () => {
        attempt.abort(new Failure("DOWNLOAD_TIMEOUT", `the attempt took longer than ${ms} ms`));
      });
      const running = inner.call(claimed, attempt);
      try {
        return await endedOrLeft(running, attempt.signal, clock, () => {
          void followOverdue(running, claimed, overdue);
          return abortedOutcome(attempt.signal.reason, startedAt, clock);
        });
      } finally {
        timer.cancel();
      }
    },
  });
}

/** What the call comes to, or, `CLEAN_UP_MS` after its abort, what `leave` says of it. */
function endedOrLeft(
  running: Promise<Outcome>,
  signal: AbortSignal,
  clock: Clock,
  leave: () => Outcome,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let timer: { cancel(): void } | undefined;
    const begin = () => {
      timer = clock.after(CLEAN_UP_MS, () => {
        try {
          resolve(leave());
        } catch (error) {
          reject(error);
        }
      });
    };
    const end = () => {
      signal.removeEventListener("abort", begin);
      timer?.cancel();
    };
    if (signal.aborted) begin();
    else signal.addEventListener("abort", begin, { once: true });
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

async function followOverdue(running: Promise<Outcome>, claimed: ClaimedTask, overdue: OverdueAttempts): Promise<void> {
  overdue.add(claimed);
  try {
    await running;
  } catch {
    // Its task was settled without it.
  } finally {
    overdue.delete(claimed);
  }
}

/** What an attempt came to that was aborted for a reason and did not say anything itself. */
function abortedOutcome(reason: unknown, startedAt: number, clock: Clock): Outcome {
  if (reason instanceof InterruptedError) return { kind: "interrupted", by: reason.by };
  if (!(reason instanceof Failure)) throw reason;
  const durationMs = Math.max(0, clock.now() - startedAt);
  const { code, message } = reason;
  return { kind: "failed", failure: reason, attempt: { startedAt, durationMs, code, message, bytes: 0 } };
}
