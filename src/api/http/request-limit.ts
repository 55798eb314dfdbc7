import type { Clock } from "../../std/clock.ts";
import { BoundedMap } from "../../std/collections/bounded-map.ts";
import { TokenBucket } from "../../std/token-bucket.ts";
import { ApiError } from "./errors.ts";

/** Most clients in memory; the oldest entry is dropped first. */
const CLIENTS_MAX = 10_000;

/** Counts one request of a client. @throws ApiError RATE_LIMITED with `Retry-After` */
export type LimitRequests = (client: string) => void;

/**
 * Limits the requests of each client to `perSecond` by a token bucket, which holds the tokens of one second; 0 = no
 * limit.
 */
export function limitRequests(perSecond: number, clock: Pick<Clock, "monotonic">): LimitRequests {
  if (perSecond === 0) return () => {};
  const buckets = new BoundedMap<string, TokenBucket>(CLIENTS_MAX);
  return (client) => {
    let bucket = buckets.get(client);
    if (bucket === undefined) {
      bucket = new TokenBucket(perSecond, clock);
      buckets.set(client, bucket);
    }
    const waitMs = bucket.waitMs();
    if (waitMs > 0) throw new ApiError("RATE_LIMITED", { retryAfterSeconds: Math.ceil(waitMs / 1000) });
    bucket.take();
  };
}
