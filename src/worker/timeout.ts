import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import type { Layer } from "./service.ts";

/** Ends a call after `ms`, download and upload together: `DOWNLOAD_TIMEOUT`. */
export function timeout(ms: number, clock: Clock): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, stop) {
      const timer = clock.after(ms, () => {
        stop.abort(new Failure("DOWNLOAD_TIMEOUT", `the attempt took longer than ${ms} ms`));
      });
      try {
        return await inner.call(claimed, stop);
      } finally {
        timer.cancel();
      }
    },
  });
}
