import type { HostGovernor } from "./host-governor.ts";
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
          const { class: failureClass, httpStatus } = outcome.failure;
          if (failureClass === "transient") governor.failed(claimed.host);
          else if (httpStatus !== undefined || failureClass === "mismatch") governor.answered(claimed.host);
        }
        return outcome;
      } finally {
        governor.release(claimed.host);
      }
    },
  });
}
