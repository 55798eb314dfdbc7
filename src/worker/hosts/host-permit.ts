import type { Outcome } from "../../jobs/verdict.ts";
import type { Clock } from "../../std/clock.ts";
import { RETRY_AFTER_MAX_MS } from "../retry.ts";
import type { Layer } from "../service.ts";
import type { HostActivity } from "./host-activity.ts";
import type { HostGovernor } from "./host-governor.ts";

/**
 * Gives back the permit that the broker took for the task's host, and reports the outcome to the governor. Any answer
 * closes the host's breaker, transient failures open it, and a complaint slows the host down.
 */
export function hostPermit(
  governor: HostGovernor,
  activity: Pick<HostActivity, "note">,
  clock: Pick<Clock, "steady">,
): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      const { host } = attempt.claimed;
      const startedAt = clock.steady();
      try {
        const outcome = await inner.call(attempt);
        report(governor, host, outcome);
        if (outcome.kind !== "interrupted") {
          activity.note(host, outcome.kind === "stored" ? "completed" : "failed", attempt.trace.bytes);
        }
        return outcome;
      } finally {
        governor.release(host, clock.steady() - startedAt);
      }
    },
  });
}

function report(governor: HostGovernor, host: string, outcome: Outcome): void {
  if (outcome.kind === "stored") return governor.answered(host);
  if (outcome.kind === "interrupted") return;
  const { code, class: failureClass, retryAfterMs } = outcome.failure;
  // The host closes before its permit is free. Without a Retry-After, `execute` sets the pause.
  if (failureClass === "throttled") {
    return governor.throttled(host, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS), code);
  }
  if (code === "PROXY_EXHAUSTED") return; // our proxies' failures are no news of the host
  if (code === "DOWNLOAD_HTTP_503") governor.complained(host, code);
  if (failureClass === "transient") governor.failed(host, code);
  else if (outcome.attempt.httpStatus !== undefined) governor.answered(host);
}
