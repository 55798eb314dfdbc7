import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Layer } from "./service.ts";

const FIRST_MS = 1000;
const MAX_MS = 30_000;

interface Bucket {
  failure: Failure;
  closedUntil: number;
  waitMs: number;
  probing: boolean;
}

/**
 * Keeps work away from a bucket that cannot be written to: nothing is downloaded for it but one probe at a time, after
 * 1 s doubling to 30 s. Times by the monotonic clock.
 */
export class StorageGate {
  readonly #clock: Clock;
  readonly #closed = new Map<string, Bucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why buckets are closed, by name; empty when all is well. */
  problems(): ReadonlyMap<string, Failure> {
    return new Map([...this.#closed].map(([name, bucket]) => [name, bucket.failure]));
  }

  /** The failure to answer with instead of work, if the task's bucket is closed and this is no time for a probe. */
  admit(bucketName: string): Failure | undefined {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return undefined;
    if (!bucket.probing && this.#clock.monotonic() >= bucket.closedUntil) {
      bucket.probing = true;
      return undefined;
    }
    const retryAfterMs = Math.max(1, Math.round(bucket.closedUntil - this.#clock.monotonic()));
    return new Failure(bucket.failure.code, bucket.failure.message, { retryAfterMs });
  }

  learn(bucketName: string, outcome: Outcome): void {
    const bucket = this.#closed.get(bucketName);
    if (outcome.kind === "stored") {
      this.#closed.delete(bucketName);
    } else if (outcome.kind === "failed" && outcome.failure.class === "unavailable") {
      this.#close(bucketName, bucket, outcome.failure);
    } else if (bucket !== undefined) {
      // The probe failed for another reason, so it says nothing of the bucket: the next one may try.
      bucket.probing = false;
    }
  }

  #close(name: string, bucket: Bucket | undefined, failure: Failure): void {
    const now = this.#clock.monotonic();
    if (bucket !== undefined && !bucket.probing) return; // was under way when the bucket closed
    const waitMs = bucket === undefined ? FIRST_MS : Math.min(bucket.waitMs * 2, MAX_MS);
    this.#closed.set(name, { failure, closedUntil: now + waitMs, waitMs, probing: false });
  }
}

export function storageGate(gate: StorageGate, clock: Clock): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, signal) {
      const failure = gate.admit(claimed.task.bucket);
      if (failure !== undefined) return turnedAway(failure, clock);
      const outcome = await inner.call(claimed, signal);
      gate.learn(claimed.task.bucket, outcome);
      return outcome;
    },
  });
}

function turnedAway(failure: Failure, clock: Clock): Outcome {
  const attempt = { startedAt: clock.now(), durationMs: 0, code: failure.code, message: failure.message, bytes: 0 };
  return { kind: "failed", failure, attempt };
}
