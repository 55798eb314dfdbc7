import { Failure } from "../jobs/failure.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Outcome, Verdict } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import type { KeyGuard } from "../storage/key-guard.ts";
import type { HostGovernor } from "./hosts/host-governor.ts";
import { decide, type RetryPolicy } from "./retry.ts";
import type { RunningAttempt } from "./running-attempt.ts";
import type { Service } from "./service.ts";
import type { Settle } from "./settle.ts";

export interface ExecuteDeps {
  readonly service: Service;
  readonly settle: Settle;
  readonly governor: Pick<HostGovernor, "throttle">;
  /** The task's key is held until it is settled. */
  readonly keys: Pick<KeyGuard, "hold">;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * One task in a worker's hands: attempt, decide, settle. Resolves when the attempt is over, with the settlement under
 * way: it shares a commit with others, and the worker need not wait for that.
 */
export async function execute(
  claimed: ClaimedTask,
  running: RunningAttempt,
  deps: ExecuteDeps,
): Promise<{ settled: Promise<void> }> {
  const letGo = deps.keys.hold(claimed.task);
  try {
    const outcome = await attempt(claimed, running, deps);
    const now = deps.clock.steady();
    const verdict = decide(outcome, claimed, deps.policy, now, deps.random());
    respectThrottle(outcome, verdict, claimed, now, deps);
    const settled = deps.settle({ claimed, verdict, upload: running.upload });
    settled.then(letGo, letGo);
    return { settled };
  } catch (error) {
    letGo();
    throw error;
  }
}

/** A service reports and does not throw; if it does all the same, that is our fault and costs an attempt. */
async function attempt(
  claimed: ClaimedTask,
  running: RunningAttempt,
  { service, clock }: ExecuteDeps,
): Promise<Outcome> {
  const startedAt = clock.now();
  const begun = clock.monotonic();
  try {
    return await service.call(claimed, running);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const failure = new Failure("DOWNLOAD_PROTOCOL_ERROR", `unexpected: ${message}`, { cause });
    const durationMs = Math.round(clock.monotonic() - begun);
    return {
      kind: "failed",
      failure,
      attempt: { startedAt, durationMs, code: failure.code, message: failure.message, bytes: 0 },
    };
  }
}

/** What one task was told holds for every job's tasks of that host. */
function respectThrottle(
  outcome: Outcome,
  verdict: Verdict,
  claimed: ClaimedTask,
  now: number,
  deps: ExecuteDeps,
): void {
  if (outcome.kind !== "failed" || outcome.failure.class !== "throttled") return;
  if (verdict.kind === "snooze") deps.governor.throttle(claimed.host, verdict.availableAt - now);
}
