import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { DeadLetterRetention, LedgerRetention } from "../jobs/stores/retained-stores.ts";
import { type Clock, delay } from "../std/clock.ts";
import type { ClockTrust } from "./clock-trust.ts";

/** How long things stay, in milliseconds, and how large dlq.db may become, in bytes. */
export interface RetentionLimits {
  readonly queueJobsMs: number;
  readonly ledgerJobsMs: number;
  readonly logsMs: number;
  readonly keysMs: number;
  readonly deadLettersMs: number;
  readonly deadLetterBytesMax: number;
}

export const PRUNED = ["dead_letters", "queue_jobs", "ledger_jobs", "log_rows", "idempotency_keys"] as const;
export type Pruned = (typeof PRUNED)[number];

export interface RetentionDeps {
  readonly queue: Pick<QueueParts, "retention" | "deadLetters">;
  readonly ledger: LedgerRetention;
  readonly deadLetters: DeadLetterRetention;
  /** Makes durable what the projections have applied. False if one of them cannot be written now. */
  readonly makeDurable: () => boolean;
  readonly limits: RetentionLimits;
  readonly trust: ClockTrust;
  readonly clock: Clock;
  readonly onPruned: (what: Pruned, count: number) => void;
  /** dlq.db is over its size: letters go before their time. */
  readonly onOverSize: (bytes: number) => void;
}

/** Rows of one step: a few milliseconds. */
const ROWS = 400;
const LETTERS = 100;
const PAGES = 100;
/** So often it is noted that the clock goes right. */
const NOTE_TRUST_MS = 600_000;
/** Between two steps, so that everybody else has at least as much time. */
const PAUSE_MS = 10;

/**
 * Takes away what is past its retention, a step at a time: dead letters first, then their jobs. What it takes from a
 * follower nobody tells the follower again, and what it takes from queue.db both followers have durably.
 */
export class Retention {
  readonly #deps: RetentionDeps;
  #trustNotedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
  }

  /**
   * One round, until nothing is left to do. @throws what a store throws, or the signal's reason; the next round goes on
   */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.#deps.trust.isTrusted) return;
    const now = this.#deps.clock.now();
    await this.#pruneLetters(now, signal);
    await this.#pruneQueue(now, signal);
    await this.#pruneLedger(now, signal);
    await this.#giveBackSpace(signal);
    await this.#noteTrust();
  }

  /** For the next process, which can compare its clock with no other. */
  async #noteTrust(): Promise<void> {
    const { clock, queue, trust } = this.#deps;
    if (!trust.isTrusted || clock.monotonic() - this.#trustNotedAt < NOTE_TRUST_MS) return;
    await queue.retention.noteTrustedClock(clock.now());
    this.#trustNotedAt = clock.monotonic();
  }

  async #pruneLetters(now: number, signal: AbortSignal): Promise<void> {
    const { limits, deadLetters, onOverSize } = this.#deps;
    await this.#drop(() => deadLetters.oldest(now - limits.deadLettersMs, LETTERS), signal);
    if (deadLetters.bytes() <= limits.deadLetterBytesMax) return;
    onOverSize(deadLetters.bytes());
    const isOver = () => deadLetters.bytes() > limits.deadLetterBytesMax;
    await this.#drop(() => (isOver() ? deadLetters.oldest(Number.MAX_SAFE_INTEGER, LETTERS) : []), signal);
  }

  async #drop(next: () => { id: number; resourceId: string }[], signal: AbortSignal): Promise<void> {
    const { queue, onPruned } = this.#deps;
    for (let letters = next(); letters.length > 0; letters = next()) {
      const dropped = await queue.deadLetters.discard(letters, "pruned");
      onPruned("dead_letters", dropped);
      if (dropped === 0) return; // a follower that lags still has them
      await this.#pause(signal);
    }
  }

  async #pruneQueue(now: number, signal: AbortSignal): Promise<void> {
    const { limits, queue, makeDurable, onPruned } = this.#deps;
    const { retention } = queue;
    // The ledger must not forget a job that the queue still has.
    const before = now - Math.min(limits.queueJobsMs, limits.ledgerJobsMs);
    for (
      let jobs = retention.prunableJobs(before, ROWS);
      jobs.length > 0;
      jobs = retention.prunableJobs(before, ROWS)
    ) {
      // A follower that lost a batch with the power gets it again, and then its job must be there.
      if (!makeDurable()) break;
      onPruned("queue_jobs", await retention.pruneJobs(jobs, ROWS));
      await this.#pause(signal);
    }
    for (;;) {
      const keys = await retention.pruneKeys(now - limits.keysMs, ROWS);
      onPruned("idempotency_keys", keys);
      if (keys < ROWS) return;
      await this.#pause(signal);
    }
  }

  async #pruneLedger(now: number, signal: AbortSignal): Promise<void> {
    const { limits, ledger, queue, onPruned } = this.#deps;
    for (let more = true; more; ) {
      const pruned = ledger.pruneLogs(now - limits.logsMs, ROWS);
      onPruned("log_rows", pruned.rows);
      ({ more } = pruned);
      await this.#pause(signal);
    }
    const before = now - limits.ledgerJobsMs;
    for (let after = { completedAt: 0, seq: 0 }; ; ) {
      const jobs = ledger.prunableJobs(before, after, ROWS);
      // What the queue has still may come to life again, or has dead letters.
      const gone = jobs.map(({ seq }) => seq).filter((seq) => !queue.retention.hasJob(seq));
      const pruned = ledger.pruneJobs(gone, ROWS);
      onPruned("ledger_jobs", pruned);
      if (pruned === gone.length) after = jobs.at(-1) ?? after;
      if (jobs.length < ROWS && pruned === gone.length) break;
      await this.#pause(signal);
    }
    while (ledger.pruneKeys(now - limits.keysMs, ROWS) === ROWS) await this.#pause(signal);
  }

  async #giveBackSpace(signal: AbortSignal): Promise<void> {
    const { queue, ledger, deadLetters } = this.#deps;
    for (const store of [queue.retention, ledger, deadLetters]) {
      while (store.giveBackPages(PAGES)) await this.#pause(signal);
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return delay(this.#deps.clock, PAUSE_MS, signal);
  }
}
