import type { Clock } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Layer } from "./service.ts";

const FIRST_MS = 1000;
const MAX_MS = 30_000;

/** Refusals in a row that may concern each its object, until they are taken to concern the bucket: its policy changed. */
const DENIED_IN_A_ROW_MAX = 100;

interface ClosedBucket {
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
  readonly #closed = new Map<string, ClosedBucket>();
  /** Buckets that have stored something since they opened, with how many refusals followed in a row. */
  readonly #proven = new Map<string, { deniedInARow: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why buckets are closed, by name; empty when all is well. */
  problems(): ReadonlyMap<string, Failure> {
    return new Map([...this.#closed].map(([name, bucket]) => [name, bucket.failure]));
  }

  /** How many tasks for a bucket may start now: any number, none, or the one that is the next probe. */
  room(bucketName: string): number {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return Number.POSITIVE_INFINITY;
    return !bucket.probing && this.#clock.monotonic() >= bucket.closedUntil ? 1 : 0;
  }

  /** When the next closed bucket may be probed, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#clock.monotonic()): number | undefined {
    let next: number | undefined;
    for (const { closedUntil } of this.#closed.values()) {
      if (closedUntil > since && (next === undefined || closedUntil < next)) next = closedUntil;
    }
    return next;
  }

  /** Whether to work for a bucket; where it is closed, and this is no time for a probe, the failure to answer with. */
  admit(bucketName: string): "work" | "probe" | Failure {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return "work";
    const leftMs = Math.ceil(bucket.closedUntil - this.#clock.monotonic());
    if (!bucket.probing && leftMs <= 0) {
      bucket.probing = true;
      return "probe";
    }
    // While a probe runs there is no telling for how long.
    const retryAfterMs = leftMs > 0 ? leftMs : bucket.waitMs;
    return new Failure(bucket.failure.code, bucket.failure.message, { retryAfterMs });
  }

  /** Learns from what admitted work came to, and returns what it is for its task. */
  judge(bucketName: string, admission: "work" | "probe", outcome: Outcome): Outcome {
    if (outcome.kind === "stored") {
      this.stored(bucketName);
      return outcome;
    }
    if (outcome.kind === "failed" && this.#isTheObjects(bucketName, outcome.failure)) return rejected(outcome);
    if (outcome.kind === "failed" && outcome.failure.class === "unavailable") {
      this.#close(bucketName, this.#closed.get(bucketName), admission, outcome.failure);
      return outcome;
    }
    this.ended(bucketName, admission);
    return outcome;
  }

  /** Something was stored in a bucket, whoever did: it works, and opens. True if it was closed. */
  stored(bucketName: string): boolean {
    this.#proven.set(bucketName, { deniedInARow: 0 });
    return this.#closed.delete(bucketName);
  }

  /** Admitted work ended without saying anything of the bucket: where it was a probe, the next one may try. */
  ended(bucketName: string, admission: "work" | "probe"): void {
    const bucket = this.#closed.get(bucketName);
    if (bucket !== undefined && admission === "probe") bucket.probing = false;
  }

  /** Whether a refusal that names nobody concerns its object alone: the bucket has taken others since it opened. */
  #isTheObjects(bucketName: string, failure: Failure): boolean {
    const proven = this.#proven.get(bucketName);
    if (proven === undefined || !failure.mayConcernObject) return false;
    return ++proven.deniedInARow <= DENIED_IN_A_ROW_MAX;
  }

  #close(name: string, bucket: ClosedBucket | undefined, admission: "work" | "probe", failure: Failure): void {
    if (bucket !== undefined && admission === "work") return; // was under way when the bucket closed
    this.#proven.delete(name);
    const waitMs = bucket === undefined ? FIRST_MS : Math.min(bucket.waitMs * 2, MAX_MS);
    this.#closed.set(name, { failure, closedUntil: this.#clock.monotonic() + waitMs, waitMs, probing: false });
  }
}

export function storageGate(gate: StorageGate, clock: Clock): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(claimed, stop) {
      const { bucket } = claimed.task;
      const admission = gate.admit(bucket);
      if (admission instanceof Failure) return turnedAway(admission, clock);
      let outcome: Outcome;
      try {
        outcome = await inner.call(claimed, stop);
      } catch (error) {
        gate.ended(bucket, admission);
        throw error;
      }
      return gate.judge(bucket, admission, outcome);
    },
  });
}

/** The same failure as the object's own: its attempts are spent, and its bucket stays open. */
function rejected({ failure, attempt }: Extract<Outcome, { kind: "failed" }>): Outcome {
  const { message, cause, httpStatus } = failure;
  const own = new Failure("UPLOAD_REJECTED", message, { cause, httpStatus });
  return { kind: "failed", failure: own, attempt: { ...attempt, code: own.code } };
}

function turnedAway(failure: Failure, clock: Clock): Outcome {
  const attempt = { startedAt: clock.now(), durationMs: 0, code: failure.code, message: failure.message, bytes: 0 };
  return { kind: "failed", failure, attempt };
}
