import type { DeadLetterRef } from "../jobs/stores/dead-letter-changes.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import type { DeadLetterRetention, LedgerRetention } from "../jobs/stores/retained-stores.ts";
import { type Clock, delay } from "../std/clock.ts";
import type { ClockTrust } from "./clock-trust.ts";

/** Retention times in milliseconds, and the limit of dlq.db in bytes. */
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

interface RetentionDeps {
  readonly queue: Pick<QueueParts, "retention" | "deadLetters">;
  readonly ledger: LedgerRetention;
  readonly deadLetters: DeadLetterRetention;
  /** Makes applied batches durable in the projections. False if one of them cannot be written now. */
  readonly makeDurable: () => Promise<boolean>;
  readonly limits: RetentionLimits;
  readonly trust: ClockTrust;
  readonly clock: Clock;
  readonly onPruned: (what: Pruned, count: number) => void;
  /** Called when dlq.db is over its size: dead letters are pruned before their retention time. */
  readonly onOverSize: (bytes: number) => void;
}

/** Rows of one step, which takes a few milliseconds. */
const ROWS = 400;
const DEAD_LETTERS = 100;
const PAGES = 100;
/** Time between two notes that the clock is trusted. */
const NOTE_TRUST_MS = 600_000;
/** Pause between two steps, so that other work has at least as much time. */
const PAUSE_MS = 10;

/**
 * Deletes rows past their retention, in small steps: dead letters first, then their jobs. The outbox never replays rows
 * deleted from a projection, and both projections durably hold the rows deleted from queue.db.
 */
export class Retention {
  readonly #deps: RetentionDeps;
  #trustNotedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
  }

  /**
   * Runs one round until no row is past its retention. @throws the error of a store, or the signal's reason; the next
   * round continues
   */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.#deps.trust.isTrusted) return;
    const now = this.#deps.clock.now();
    await this.#pruneDeadLetters(now, signal);
    await this.#pruneQueue(now, signal);
    await this.#pruneLedger(now, signal);
    await this.#giveBackSpace(signal);
    await this.#noteTrust();
  }

  /** Notes that the clock is trusted, for the next process, which has no other clock to compare. */
  async #noteTrust(): Promise<void> {
    const { clock, queue, trust } = this.#deps;
    if (!trust.isTrusted || clock.monotonic() - this.#trustNotedAt < NOTE_TRUST_MS) return;
    await queue.retention.noteTrustedClock(clock.now());
    this.#trustNotedAt = clock.monotonic();
  }

  async #pruneDeadLetters(now: number, signal: AbortSignal): Promise<void> {
    const { limits, deadLetters, onOverSize } = this.#deps;
    await this.#drop(() => deadLetters.oldest(now - limits.deadLettersMs, DEAD_LETTERS), signal);
    const isOver = (bytes: number) => bytes > limits.deadLetterBytesMax;
    const bytes = await deadLetters.bytes();
    if (!isOver(bytes)) return;
    onOverSize(bytes);
    const next = async () =>
      isOver(await deadLetters.bytes()) ? deadLetters.oldest(Number.MAX_SAFE_INTEGER, DEAD_LETTERS) : [];
    await this.#drop(next, signal);
  }

  async #drop(next: () => Promise<DeadLetterRef[]>, signal: AbortSignal): Promise<void> {
    const { queue, onPruned } = this.#deps;
    for (let batch = await next(); batch.length > 0; batch = await next()) {
      const discarded = await queue.deadLetters.discard(batch, "pruned");
      onPruned("dead_letters", discarded);
      if (discarded === 0) return; // a projection that lags still has them
      await this.#pause(signal);
    }
  }

  async #pruneQueue(now: number, signal: AbortSignal): Promise<void> {
    const { limits, queue, makeDurable, onPruned } = this.#deps;
    const { retention } = queue;
    // The ledger must not forget a job that the queue still has.
    const before = now - Math.min(limits.queueJobsMs, limits.ledgerJobsMs);
    const next = () => retention.prunableJobs(before, ROWS);
    for (let jobs = await next(); jobs.length > 0; jobs = await next()) {
      // A projection that lost a batch with the power gets it again, and needs its job then.
      if (!(await makeDurable())) break;
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
      const pruned = await ledger.pruneLogs(now - limits.logsMs, ROWS);
      onPruned("log_rows", pruned.rows);
      ({ more } = pruned);
      await this.#pause(signal);
    }
    const before = now - limits.ledgerJobsMs;
    for (let after = { completedAt: 0, seq: 0 }; ; ) {
      const jobs = await ledger.prunableJobs(before, after, ROWS);
      // A job that is still in the queue has dead letters or may be replayed.
      const kept = new Set(await queue.retention.keptJobs(jobs.map(({ seq }) => seq)));
      const gone = jobs.map(({ seq }) => seq).filter((seq) => !kept.has(seq));
      const pruned = await ledger.pruneJobs(gone, ROWS);
      onPruned("ledger_jobs", pruned);
      if (pruned === gone.length) after = jobs.at(-1) ?? after;
      if (jobs.length < ROWS && pruned === gone.length) break;
      await this.#pause(signal);
    }
    while ((await ledger.pruneKeys(now - limits.keysMs, ROWS)) === ROWS) await this.#pause(signal);
  }

  async #giveBackSpace(signal: AbortSignal): Promise<void> {
    const { queue, ledger, deadLetters } = this.#deps;
    for (const store of [queue.retention, ledger, deadLetters]) {
      while (await store.giveBackPages(PAGES)) await this.#pause(signal);
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return delay(this.#deps.clock, PAUSE_MS, signal);
  }
}
