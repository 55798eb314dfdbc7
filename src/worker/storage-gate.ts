import { Failure } from "../jobs/failure.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import type { Layer } from "./service.ts";

const FIRST_MS = 1000;
const MAX_MS = 30_000;

/**
 * Refusals in a row that may concern each its object, until they are taken to concern the bucket: its policy has
 * changed, or what stands before the storage has lost it. A small upload then tells within a second.
 */
const IN_A_ROW_MAX = { denied: 100, rejected: 200, other: 10 } as const;

/** A probe that was sent and does not arrive, in milliseconds; only a fault of ours could let that happen. */
const LOST_MS = 60_000;

/** A bucket that closes again so soon after it was opened goes on with the waits of before, in milliseconds. */
const RELAPSE_MS = 60_000;

type FailedOutcome = Extract<Outcome, { kind: "failed" }>;

/** What an operator sees of a bucket that cannot be written to. */
export interface ClosedBucketView {
  readonly bucket: string;
  readonly code: string;
  readonly message: string;
  readonly closedForMs: number;
}

interface ClosedBucket {
  failure: Failure;
  closedUntil: number;
  waitMs: number;
  /** A probe is on its way to a worker, until then at most. */
  sentUntil: number;
  probing: boolean;
}

/**
 * Keeps work away from a bucket that cannot be written to: nothing is downloaded for it but one probe at a time, after
 * 1 s doubling to 30 s. Times by the monotonic clock.
 */
export class StorageGate {
  readonly #clock: Clock;
  readonly #closed = new Map<string, ClosedBucket>();
  readonly #opened = new Map<string, { readonly waitMs: number; readonly at: number }>();
  /** Buckets that have stored something since they opened. */
  readonly #proven = new Set<string>();
  readonly #refusedInARow = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why buckets are closed, by name; empty when all is well. */
  problems(): ReadonlyMap<string, Failure> {
    return new Map([...this.#closed].map(([name, bucket]) => [name, bucket.failure]));
  }

  /** Closed buckets, each with why and for how long until it is tried again. */
  closed(): ClosedBucketView[] {
    const now = this.#clock.monotonic();
    return [...this.#closed].map(([bucket, { failure, closedUntil }]) => ({
      bucket,
      code: failure.code,
      message: failure.message,
      closedForMs: Math.max(0, closedUntil - now),
    }));
  }

  /** Closed buckets whose time to be tried has come. A task may be at that, and take as long as it takes. */
  toBeTried(): string[] {
    const now = this.#clock.monotonic();
    return [...this.#closed].filter(([, { closedUntil }]) => now >= closedUntil).map(([name]) => name);
  }

  /** Lets all work for a bucket in, since it is known to work again. */
  open(bucketName: string): void {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return;
    this.#closed.delete(bucketName);
    this.#opened.set(bucketName, { waitMs: bucket.waitMs, at: this.#clock.monotonic() });
  }

  /** Lets no more work for a bucket in than a probe: something other than a task has found that it takes nothing. */
  close(bucketName: string, failure: Failure): void {
    if (!this.#closed.has(bucketName)) this.#close(bucketName, failure);
  }

  /** How many tasks for a bucket may start now: any number, none, or the one that is the next probe. */
  room(bucketName: string): number {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return Number.POSITIVE_INFINITY;
    return !bucket.probing && this.#clock.monotonic() >= Math.max(bucket.closedUntil, bucket.sentUntil) ? 1 : 0;
  }

  /** A task for a bucket is on its way to a worker; where the bucket is closed, it is the probe. */
  sent(bucketName: string): void {
    const bucket = this.#closed.get(bucketName);
    if (bucket !== undefined) bucket.sentUntil = this.#clock.monotonic() + LOST_MS;
  }

  /** It comes back: no worker took it. */
  returned(bucketName: string): void {
    const bucket = this.#closed.get(bucketName);
    if (bucket !== undefined) bucket.sentUntil = 0;
  }

  /** When the next closed bucket may be probed, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#clock.monotonic()): number | undefined {
    let next: number | undefined;
    for (const { closedUntil } of this.#closed.values()) {
      if (closedUntil > since && (next === undefined || closedUntil < next)) next = closedUntil;
    }
    return next;
  }

  /** Whether to work for a bucket; `undefined` where it is closed, and this is no time for a probe. */
  admit(bucketName: string): "work" | "probe" | undefined {
    const bucket = this.#closed.get(bucketName);
    if (bucket === undefined) return "work";
    if (bucket.probing || this.#clock.monotonic() < bucket.closedUntil) return undefined;
    bucket.probing = true;
    bucket.sentUntil = 0;
    return "probe";
  }

  /** Learns from what admitted work came to, and returns what it is for its task. */
  judge(bucketName: string, admission: "work" | "probe", outcome: Outcome): Outcome {
    if (outcome.kind === "stored") {
      this.#closed.delete(bucketName);
      this.#opened.delete(bucketName);
      this.#proven.add(bucketName);
      this.#refusedInARow.delete(bucketName);
      return outcome;
    }
    const judged = outcome.kind === "failed" ? this.#judgeRefusal(bucketName, outcome) : outcome;
    if (judged.kind === "failed" && judged.failure.class === "unavailable") {
      if (this.#isClosing(bucketName, admission)) this.#close(bucketName, judged.failure);
      return judged;
    }
    this.ended(bucketName, admission);
    return judged;
  }

  /** Admitted work ended without saying anything of the bucket: where it was a probe, the next one may try. */
  ended(bucketName: string, admission: "work" | "probe"): void {
    const bucket = this.#closed.get(bucketName);
    if (bucket !== undefined && admission === "probe") bucket.probing = false;
  }

  /**
   * Whether a refusal concerns its object alone. One that names nobody does, if the bucket has taken others since it
   * opened; one that names the object does. But where too many come in a row it is the bucket.
   */
  #judgeRefusal(bucketName: string, outcome: FailedOutcome): FailedOutcome {
    const { failure } = outcome;
    const isRejected = failure.code === "UPLOAD_REJECTED";
    if (!isRejected && !(failure.mayConcernObject && this.#proven.has(bucketName))) return outcome;
    const inARow = (this.#refusedInARow.get(bucketName) ?? 0) + 1;
    this.#refusedInARow.set(bucketName, inARow);
    const max = isRejected ? "rejected" : failure.code === "UPLOAD_ACCESS_DENIED" ? "denied" : "other";
    if (inARow <= IN_A_ROW_MAX[max]) return isRejected ? outcome : withCode(outcome, "UPLOAD_REJECTED");
    return isRejected ? withCode(outcome, "UPLOAD_UNAVAILABLE") : outcome;
  }

  /** Work that was under way when the bucket closed says nothing new. */
  #isClosing(name: string, admission: "work" | "probe"): boolean {
    return admission === "probe" || !this.#closed.has(name);
  }

  #waitBeforeRelapse(name: string): number | undefined {
    const opened = this.#opened.get(name);
    if (opened === undefined || this.#clock.monotonic() - opened.at > RELAPSE_MS) return undefined;
    return opened.waitMs;
  }

  #close(name: string, failure: Failure): void {
    this.#proven.delete(name);
    this.#refusedInARow.delete(name);
    const waitedMs = this.#closed.get(name)?.waitMs ?? this.#waitBeforeRelapse(name);
    const waitMs = waitedMs === undefined ? FIRST_MS : Math.min(waitedMs * 2, MAX_MS);
    this.#closed.set(name, {
      failure,
      closedUntil: this.#clock.monotonic() + waitMs,
      waitMs,
      sentUntil: 0,
      probing: false,
    });
  }
}

export function storageGate(gate: StorageGate): Layer {
  return (inner) => ({
    ready: (signal) => inner.ready(signal),
    async call(attempt) {
      const { bucket } = attempt.claimed.task;
      const admission = gate.admit(bucket);
      // Put back as if it had never been claimed: to let it wait would keep it from the next probe, too.
      if (admission === undefined) return { kind: "interrupted", by: "closed bucket" };
      let outcome: Outcome;
      try {
        outcome = await inner.call(attempt);
      } catch (error) {
        gate.ended(bucket, admission);
        throw error;
      }
      return gate.judge(bucket, admission, outcome);
    },
  });
}

/** The same failure as the object's own, whose attempts are spent, or as the bucket's. */
function withCode({ failure, attempt }: FailedOutcome, code: "UPLOAD_REJECTED" | "UPLOAD_UNAVAILABLE"): FailedOutcome {
  const { message, cause, httpStatus } = failure;
  return {
    kind: "failed",
    failure: new Failure(code, message, { cause, httpStatus }),
    attempt: { ...attempt, code },
  };
}
