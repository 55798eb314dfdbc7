import type { Clock } from "../../std/clock.ts";
import { ApiError } from "./errors.ts";

/** Most clients in memory; the oldest entry is dropped first. */
const CLIENTS_MAX = 10_000;

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** Counts one request of a client. @throws ApiError RATE_LIMITED with `Retry-After` */
export type LimitRequests = (client: string) => void;

/**
 * Limits the requests of each client to `perSecond` by a token bucket, which holds the tokens of one second; 0 = no
 * limit.
 */
export function limitRequests(perSecond: number, clock: Pick<Clock, "monotonic">): LimitRequests {
  if (perSecond === 0) return () => {};
  const capacity = Math.max(1, perSecond);
  const buckets = new Map<string, Bucket>();
  return (client) => {
    const now = clock.monotonic();
    const bucket = buckets.get(client) ?? { tokens: capacity, filledAt: now };
    if (!buckets.has(client) && buckets.size >= CLIENTS_MAX) buckets.delete(buckets.keys().next().value ?? "");
    buckets.set(client, bucket);
    bucket.tokens = Math.min(capacity, bucket.tokens + ((now - bucket.filledAt) * perSecond) / 1000);
    bucket.filledAt = now;
    if (bucket.tokens < 1) {
      throw new ApiError("RATE_LIMITED", { retryAfterSeconds: Math.ceil((1 - bucket.tokens) / perSecond) });
    }
    bucket.tokens--;
  };
}
