import { Failure } from "../jobs/failure.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import type { KeyGuard } from "../storage/key-guard.ts";
import type { Attempt } from "./attempt.ts";
import type { HostGovernor } from "./hosts/host-governor.ts";
import { decide, type RetryPolicy } from "./retry.ts";
import type { Service } from "./service.ts";
import type { Settle } from "./settle.ts";

export interface ExecuteDeps {
  readonly service: Service;
  readonly settle: Settle;
  readonly governor: Pick<HostGovernor, "throttle">;
  /** The task holds its key until its settlement is durable. */
  readonly keys: Pick<KeyGuard, "hold">;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * Runs one attempt, decides on its task, and starts the settlement. Resolves with the settlement still under way: it
 * shares a commit with others, and the worker need not wait for that.
 */
export async function execute(attempt: Attempt, deps: ExecuteDeps): Promise<{ settled: Promise<void> }> {
  const { claimed } = attempt;
  const releaseKey = deps.keys.hold(claimed.task);
  try {
    const outcome = await run(attempt, deps);
    const now = deps.clock.steady();
    const verdict = decide(outcome, claimed, { now, random: deps.random() }, deps.policy);
    // The host's answer to one task holds for the tasks of every job.
    if (verdict.kind === "snooze" && verdict.waitingSince.class === "throttled") {
      deps.governor.throttle(claimed.host, verdict.availableAt - now);
    }
    const settled = deps.settle({ claimed, verdict, upload: attempt.upload, workerId: attempt.workerId });
    settled.then(releaseKey, releaseKey);
    return { settled };
  } catch (error) {
    releaseKey();
    throw error;
  }
}

/** A service that throws has a fault of ours; the task spends an attempt. */
async function run(attempt: Attempt, { service, clock }: ExecuteDeps): Promise<Outcome> {
  const startedAt = clock.now();
  const startedMonotonic = clock.monotonic();
  try {
    return await service.call(attempt);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const failure = new Failure("DOWNLOAD_PROTOCOL_ERROR", `unexpected: ${message}`, { cause });
    const durationMs = Math.round(clock.monotonic() - startedMonotonic);
    return {
      kind: "failed",
      failure,
      attempt: { startedAt, durationMs, code: failure.code, message: failure.message, bytes: 0 },
    };
  }
}
