import { Failure, type FailureCode } from "../jobs/failure.ts";
import type { FailedOutcome, Outcome } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";

const FIRST_WAIT_MS = 1000;
const MAX_WAIT_MS = 30_000;

/**
 * Refusals in a row that may each concern their object. One more of them concerns the bucket: its policy has changed,
 * or a proxy before the storage has lost the storage. A small upload then decides within a second.
 */
const IN_A_ROW_MAX: Partial<Record<FailureCode, number>> = { UPLOAD_ACCESS_DENIED: 100, UPLOAD_REJECTED: 200 };
const IN_A_ROW_MAX_OTHERS = 10;

/** A probe that reaches no worker within this time is lost, in milliseconds. Only a fault of ours can cause that. */
const LOST_MS = 60_000;

/** A bucket that closes again within this time continues its doubled waits, in milliseconds. */
const RELAPSE_MS = 60_000;

/** A closed bucket, as an operator sees it. */
interface ClosedBucketView {
  readonly bucket: string;
  readonly code: string;
  readonly message: string;
  readonly closedForMs: number;
  /** The time since it closed. */
  readonly closedSinceMs: number;
  /** `probing`: a task probes it now. */
  readonly state: "closed" | "probing";
}

/** How a task was admitted: to an open bucket, or as the one probe of a closed one. */
type Admission = "work" | "probe";

interface BucketHealthDeps {
  readonly clock: Pick<Clock, "monotonic">;
  /** The bucket that readiness depends on: it is checked while it is open, too. */
  readonly watched: string;
  /** Called when work for a closed bucket may start again. */
  readonly onOpen: () => void;
}

interface Bucket {
  readonly name: string;
  state: "unproven" | "proven" | "closed" | "probing";
  /** The reason for the latest closing. */
  failure: Failure | undefined;
  closedAt: number;
  closedUntil: number;
  /** A probe is on its way to a worker, at most until then. */
  sentUntil: number;
  /** The length of the latest wait; `undefined` once an object was stored after it. */
  waitMs: number | undefined;
  openedAt: number;
  refusedInARow: number;
  hasFailedCheck: boolean;
}

/**
 * The rule when a bucket closes, is probed and opens, for every bucket. The storage gate and the bucket check ask it.
 *
 * | state | meaning | tasks that may start |
 * |---|---|---|
 * | `unproven` | open; it has stored no object since it opened | any number |
 * | `proven` | open; it has stored an object | any number |
 * | `closed` | it cannot be written to | none before the deadline, then one probe |
 * | `probing` | a task probes it | none |
 *
 * | event | from | to |
 * |---|---|---|
 * | an object was stored | any | `proven`; the next wait is 1 s |
 * | a refusal that concerns the bucket | `unproven`, `proven` | `closed` for 1 s, or twice the last wait in a relapse |
 * | the same, for a task admitted before the closing | `closed`, `probing` | the same |
 * | the same, for the probe | any | `closed` for twice the last wait, at most 30 s |
 * | the probe ends without news of the bucket | `probing` | `closed`; the next probe may start at once |
 * | a probe is admitted | `closed`, after the deadline | `probing` |
 * | `close`: a manifest found the disk full | `unproven`, `proven` | `closed` |
 * | a small upload works | `closed`, `probing` | `unproven` |
 * | a check works without doubt after one that failed | `closed`, `probing` | `unproven` |
 *
 * A check that never failed does not open a bucket: a bucket that can be read need not take uploads. A small upload
 * tries a closed bucket after its deadline, whether a task probes it or not. Times are by the monotonic clock.
 */
export class BucketHealth {
  readonly #deps: BucketHealthDeps;
  readonly #buckets = new Map<string, Bucket>();
  /** Those that are `closed` or `probing`, in the order of their closing. */
  readonly #closed = new Map<string, Bucket>();

  constructor(deps: BucketHealthDeps) {
    this.#deps = deps;
  }

  /** The reasons of closed buckets, by name; empty while all are open. */
  problems(): ReadonlyMap<string, Failure> {
    const problems = new Map<string, Failure>();
    for (const { name, failure } of this.#closed.values()) if (failure !== undefined) problems.set(name, failure);
    return problems;
  }

  /** Closed buckets, each with its reason and the time until its next probe. */
  closed(): ClosedBucketView[] {
    const now = this.#now();
    return [...this.problems()].map(([bucket, { code, message }]) => {
      const { closedUntil = now, closedAt = now, state } = this.#closed.get(bucket) ?? {};
      return {
        bucket,
        code,
        message,
        closedForMs: Math.max(0, closedUntil - now),
        closedSinceMs: now - closedAt,
        state: state === "probing" ? state : "closed",
      };
    });
  }

  /** How many tasks for a bucket may start now: any number, none, or the next probe. */
  room(name: string): number {
    const bucket = this.#closed.get(name);
    if (bucket === undefined) return Number.POSITIVE_INFINITY;
    const { state, closedUntil, sentUntil } = bucket;
    return state === "closed" && this.#now() >= Math.max(closedUntil, sentUntil) ? 1 : 0;
  }

  /** A task for a bucket is on its way to a worker; for a closed bucket it is the probe. */
  sent(name: string): void {
    const bucket = this.#closed.get(name);
    if (bucket !== undefined) bucket.sentUntil = this.#now() + LOST_MS;
  }

  /** The task comes back: no worker took it. */
  returned(name: string): void {
    const bucket = this.#closed.get(name);
    if (bucket !== undefined) bucket.sentUntil = 0;
  }

  /** When the next closed bucket may be probed, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#now()): number | undefined {
    let next: number | undefined;
    for (const { closedUntil } of this.#closed.values()) {
      if (closedUntil > since && (next === undefined || closedUntil < next)) next = closedUntil;
    }
    return next;
  }

  /** How a task is admitted; `undefined` where the bucket is closed and a probe is not due. */
  admit(name: string): Admission | undefined {
    const bucket = this.#closed.get(name);
    if (bucket === undefined) return "work";
    if (bucket.state === "probing" || this.#now() < bucket.closedUntil) return undefined;
    bucket.state = "probing";
    bucket.sentUntil = 0;
    return "probe";
  }

  /** Takes the outcome of admitted work, and returns it as it counts for the task. */
  judge(name: string, admission: Admission, outcome: Outcome): Outcome {
    const bucket = this.#bucket(name);
    if (outcome.kind === "stored") {
      this.#stored(bucket);
      return outcome;
    }
    const judged = outcome.kind === "failed" ? judgeRefusal(bucket, outcome) : outcome;
    if (judged.kind !== "failed" || judged.failure.class !== "unavailable") {
      this.ended(name, admission);
      return judged;
    }
    // Work from before the closing brings no news.
    if (admission === "probe" || !this.#closed.has(name)) this.#close(bucket, judged.failure);
    return judged;
  }

  /** Admitted work ended without news of the bucket: after a probe the next one may start. */
  ended(name: string, admission: Admission): void {
    const bucket = this.#closed.get(name);
    if (bucket?.state === "probing" && admission === "probe") bucket.state = "closed";
  }

  /** Closes an open bucket: a write other than a task's found that it takes no object. */
  close(name: string, failure: Failure): void {
    if (!this.#closed.has(name)) this.#close(this.#bucket(name), failure);
  }

  /** The buckets to be checked: the watched one first, then the closed ones. */
  toBeChecked(): string[] {
    const { watched } = this.#deps;
    for (const [name, bucket] of this.#buckets) {
      if (name !== watched && !this.#closed.has(name)) bucket.hasFailedCheck = false;
    }
    return [watched, ...[...this.#closed.keys()].filter((name) => name !== watched)];
  }

  checkFailed(name: string): void {
    this.#bucket(name).hasFailedCheck = true;
  }

  /** Opens the bucket after a failed check, unless the check has a doubt: then an upload has to find out. */
  checkWorked(name: string, hasDoubt: boolean): void {
    const bucket = this.#bucket(name);
    const { hasFailedCheck } = bucket;
    bucket.hasFailedCheck = false;
    if (hasFailedCheck && !hasDoubt) this.#open(bucket);
  }

  /** Closed buckets after their deadline: a small upload should try them, even while a slow task probes them. */
  toBeTried(): string[] {
    const now = this.#now();
    return [...this.#closed.values()].filter(({ closedUntil }) => now >= closedUntil).map(({ name }) => name);
  }

  /** A small upload worked. */
  trialWorked(name: string): void {
    this.#open(this.#bucket(name));
  }

  #stored(bucket: Bucket): void {
    bucket.state = "proven";
    bucket.waitMs = undefined;
    bucket.refusedInARow = 0;
    if (this.#closed.delete(bucket.name)) this.#deps.onOpen();
  }

  #open(bucket: Bucket): void {
    if (!this.#closed.delete(bucket.name)) return;
    bucket.state = "unproven";
    bucket.openedAt = this.#now();
    this.#deps.onOpen();
  }

  #close(bucket: Bucket, failure: Failure): void {
    const now = this.#now();
    const isRelapse = this.#closed.has(bucket.name) || now - bucket.openedAt <= RELAPSE_MS;
    const waitedMs = isRelapse ? bucket.waitMs : undefined;
    const waitMs = waitedMs === undefined ? FIRST_WAIT_MS : Math.min(waitedMs * 2, MAX_WAIT_MS);
    if (!this.#closed.has(bucket.name)) bucket.closedAt = now;
    this.#closed.set(bucket.name, bucket);
    bucket.state = "closed";
    bucket.failure = failure;
    bucket.closedUntil = now + waitMs;
    bucket.sentUntil = 0;
    bucket.waitMs = waitMs;
    bucket.refusedInARow = 0;
  }

  #bucket(name: string): Bucket {
    const known = this.#buckets.get(name);
    if (known !== undefined) return known;
    const bucket: Bucket = {
      name,
      state: "unproven",
      failure: undefined,
      closedAt: 0,
      closedUntil: 0,
      sentUntil: 0,
      waitMs: undefined,
      openedAt: 0,
      refusedInARow: 0,
      hasFailedCheck: false,
    };
    this.#buckets.set(name, bucket);
    return bucket;
  }

  #now(): number {
    return this.#deps.clock.monotonic();
  }
}

/**
 * Decides whether a refusal concerns its object or the bucket. A refusal that names neither concerns the object if the
 * bucket has stored others since it opened. One that names the object concerns it always. Too many in a row concern the
 * bucket.
 */
function judgeRefusal(bucket: Bucket, outcome: FailedOutcome): FailedOutcome {
  const { failure } = outcome;
  const isRejected = failure.code === "UPLOAD_REJECTED";
  if (!isRejected && !(failure.mayConcernObject && bucket.state === "proven")) return outcome;
  bucket.refusedInARow++;
  if (bucket.refusedInARow <= (IN_A_ROW_MAX[failure.code] ?? IN_A_ROW_MAX_OTHERS))
    return isRejected ? outcome : withCode(outcome, "UPLOAD_REJECTED");
  return isRejected ? withCode(outcome, "UPLOAD_UNAVAILABLE") : outcome;
}

/** The same failure under another code: the object's, which spends an attempt, or the bucket's. */
function withCode({ failure, attempt }: FailedOutcome, code: "UPLOAD_REJECTED" | "UPLOAD_UNAVAILABLE"): FailedOutcome {
  const { message, cause, httpStatus } = failure;
  return {
    kind: "failed",
    failure: new Failure(code, message, { cause, httpStatus }),
    attempt: { ...attempt, code },
  };
}
