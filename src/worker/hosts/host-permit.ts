import type { Outcome } from "../../jobs/verdict.ts";
import type { Clock } from "../../std/clock.ts";
import { RETRY_AFTER_MAX_MS } from "../retry.ts";
import type { Layer } from "../service.ts";
import type { HostGovernor } from "./host-governor.ts";

/**
 * Gives back the permit that the broker took for the task's host, and lets the governor learn from what happened: an
 * answer of any kind closes the host's breaker, failures of the transient kind open it, and a complaint slows it down.
 */
export function hostPermit(governor: HostGovernor, clock: Pick<Clock, "steady">): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      const { host } = attempt.claimed;
      const startedAt = clock.steady();
      try {
        const outcome = await inner.call(attempt);
        learn(governor, host, outcome);
        return outcome;
      } finally {
        governor.release(host, clock.steady() - startedAt);
      }
    },
  });
}

function learn(governor: HostGovernor, host: string, outcome: Outcome): void {
  if (outcome.kind === "stored") return governor.answered(host);
  if (outcome.kind === "interrupted") return;
  const { code, class: failureClass, retryAfterMs } = outcome.failure;
  // Before the permit is free for another task; a host that does not say for how long is `execute`'s.
  if (failureClass === "throttled")
    return governor.throttled(host, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS), code);
  if (code === "PROXY_EXHAUSTED") return; // the host knows nothing of our proxies' troubles
  if (code === "DOWNLOAD_HTTP_503") governor.complained(host, code);
  if (failureClass === "transient") governor.failed(host, code);
  else if (outcome.attempt.httpStatus !== undefined) governor.answered(host);
}
