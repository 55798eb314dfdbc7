import { type Clock, delay } from "../../std/clock.ts";
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
  const capacity = Math.max(1, perSecond);
  return (inner) => {
    let tokens = capacity;
    let filledAt = clock.monotonic();
    const refill = () => {
      const now = clock.monotonic();
      tokens = Math.min(capacity, tokens + ((now - filledAt) * perSecond) / 1000);
      filledAt = now;
    };
    return {
      async ready(signal) {
        await inner.ready(signal);
        refill();
        if (tokens >= 1) return;
        waits.workers++;
        try {
          for (; tokens < 1; refill()) await delay(clock, Math.ceil(((1 - tokens) * 1000) / perSecond), signal);
        } finally {
          waits.workers--;
        }
      },
      call(attempt) {
        tokens--;
        return inner.call(attempt);
      },
    };
  };
}
