import type { HostGovernor } from "./host-governor.ts";
import { RETRY_AFTER_MAX_MS } from "./retry.ts";
import type { Layer } from "./service.ts";

/**
 * Gives back the permit that the broker took for the task's host, and lets the governor learn from what happened:
 * an answer of any kind closes the host's breaker, failures of the transient kind open it.
 */
export function hostPermit(governor: HostGovernor): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, signal) {
      try {
        const outcome = await inner.call(claimed, signal);
        if (outcome.kind === "stored") governor.answered(claimed.host);
        else if (outcome.kind === "failed") {
          const { class: failureClass, retryAfterMs } = outcome.failure;
          if (failureClass === "transient") governor.failed(claimed.host);
          else if (outcome.attempt.httpStatus !== undefined) governor.answered(claimed.host);
          // Before the permit is free for another task; a host that does not say for how long is `execute`'s.
          if (failureClass === "throttled")
            governor.throttle(claimed.host, Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS));
        }
        return outcome;
      } finally {
        governor.release(claimed.host);
      }
    },
  });
}
