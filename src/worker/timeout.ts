import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import type { Layer } from "./service.ts";

/** Ends a call after `ms`, download and upload together: `DOWNLOAD_TIMEOUT`. */
export function timeout(ms: number, clock: Clock): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, signal) {
      const controller = new AbortController();
      const forward = () => controller.abort(signal.reason);
      if (signal.aborted) forward();
      signal.addEventListener("abort", forward, { once: true });
      const timer = clock.after(ms, () => {
        controller.abort(new Failure("DOWNLOAD_TIMEOUT", `the attempt took longer than ${ms} ms`));
      });
      try {
        return await inner.call(claimed, controller.signal);
      } finally {
        timer.cancel();
        signal.removeEventListener("abort", forward);
      }
    },
  });
}
