import { type Clock, delay } from "../../std/clock.ts";
import { TokenBucket } from "../../std/token-bucket.ts";
import type { Layer } from "../service.ts";

export interface RateWaits {
  /** The number of workers that wait until their rate permits the next download. */
  workers: number;
}

/**
 * Limits the calls per second; 0 = no limit. A token bucket holds one second's worth: after a pause a worker may catch
 * up that much, and no more. A worker waits before it takes a task.
 */
export function rateLimit(perSecond: number, clock: Clock, waits: RateWaits = { workers: 0 }): Layer {
  if (perSecond === 0) return (inner) => inner;
  return (inner) => {
    const bucket = new TokenBucket(perSecond, clock);
    return {
      async ready(signal) {
        await inner.ready(signal);
        let waitMs = bucket.waitMs();
        if (waitMs === 0) return;
        waits.workers++;
        try {
          for (; waitMs > 0; waitMs = bucket.waitMs()) await delay(clock, Math.ceil(waitMs), signal);
        } finally {
          waits.workers--;
        }
      },
      call(attempt) {
        bucket.take();
        return inner.call(attempt);
      },
    };
  };
}
