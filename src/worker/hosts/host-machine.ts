import type { HostRecord } from "../../jobs/host-record.ts";
import { type HostStateName, type HostView, isClosed, isShut } from "../../jobs/host-view.ts";
import { RETRY_AFTER_MAX_MS } from "../retry.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import type { HostLimits } from "./host-rules.ts";

const BREAKER_FIRST_MS = 1000;
const BREAKER_MAX_MS = 30_000;
/** This many transient failures in a row count as a complaint. */
const COMPLAINT_FAILURES = 3;

/**
 * One host: its rate, its concurrency limit, the pause that it asked for, its breaker and the breaker's probe.
 *
 * | state | meaning | downloads that may start |
 * |---|---|---|
 * | `open` | no restriction but the configuration's | up to the configured concurrency |
 * | `rate` | starts are limited per second | one, when the next start is due |
 * | `slowed` | fewer at once after complaints | up to the lower limit; below one, with pauses between |
 * | `waiting` | the host asked for a pause | none |
 * | `breaker` | the breaker is open after failures | none |
 * | `probing` | the breaker is half open | one at a time |
 *
 * | event | from | to | further effects |
 * |---|---|---|---|
 * | `answered` | `breaker`, `probing` | free, or `waiting` until its end | the breaker closes |
 * | `answered` | `slowed` | free | the limit rises |
 * | `throttled` | any | `waiting` | the breaker closes, the limit is halved |
 * | `pauseUntil` | any | `waiting`, or `breaker` if that ends later | the latest end counts |
 * | `complained` | free | `slowed` | the limit is halved, down to 1/16 |
 * | `failed`, 3 or more in a row | free | `slowed` | the limit is halved, down to 1 |
 * | `failed`, `breakerFailures` or more in a row | any but `breaker` | `breaker` | for 1 s doubling to 30 s |
 * | its deadline | `breaker` | `probing` | |
 * | its deadline | `waiting` | `probing` if the breaker was open, else free | |
 * | an hour without a slow-down | `slowed` | `open` or `rate` | |
 * | `reopen` | `waiting`, `breaker` | `probing` | the pause ends |
 * | `setLimits` without a breaker | `breaker`, `probing` | free, or `waiting` until its end | the breaker closes |
 *
 * Free is `slowed` below the configured concurrency, else `rate` or `open`; a limit changes in every state.
 *
 * Deadlines end states without a call, so the name is computed from them: by `stateAt` alone. All times are by the
 * monotonic clock: the broker waits by it, and the whole milliseconds of another clock would wake it too early.
 */
export class HostMachine {
  #limits: HostLimits;
  readonly #concurrency: ConcurrencyLimit;
  /** When each download under way got its permit, the earliest first. */
  readonly #startedAt: number[] = [];
  #pausedUntil = 0;
  /** Since when the host has been asking for a pause; `undefined` if it never asked. */
  #pausedSince: number | undefined;
  /** The rate, or a limit below one, permits the next start then. */
  #nextStart = 0;
  #failuresInARow = 0;
  /** The length of the breaker's last opening; 0 while it is closed. */
  #breakerMs = 0;
  /** The breaker is open until then, and half open afterwards until an answer comes. */
  #breakerUntil = 0;
  /** Since when the breaker has been open or half open. */
  #unavailableSince: number | undefined;
  /** The failure code of the latest complaint; `undefined` if an earlier process heard it. */
  #complaint: string | undefined;

  constructor(limits: HostLimits, concurrency = new ConcurrencyLimit(limits.maxConcurrency)) {
    this.#limits = limits;
    this.#concurrency = concurrency;
  }

  /**
   * The machine that an earlier process wrote down. `ahead` is by how much the record's clock is ahead of the monotonic
   * one. No wait becomes longer than its maximum, even if the clock was set back.
   */
  static restored(record: HostRecord, limits: HostLimits, now: number, ahead: number): HostMachine {
    const slowedAt = Math.min(record.slowedAt - ahead, now);
    const limit = new ConcurrencyLimit(limits.maxConcurrency, record.concurrencyLimit, slowedAt);
    const machine = new HostMachine(limits, limit);
    machine.#pausedUntil = Math.min(record.closedUntil - ahead, now + RETRY_AFTER_MAX_MS);
    // A request for a pause is a complaint, too: the record has the time of the latest one that had an effect.
    if (record.slowedAt > 0) machine.#pausedSince = slowedAt;
    machine.#failuresInARow = record.failuresInARow;
    machine.#breakerMs = record.breakerMs;
    machine.#breakerUntil = Math.min(record.breakerUntil - ahead, now + BREAKER_MAX_MS);
    if (record.unavailableSince !== undefined) machine.#unavailableSince = record.unavailableSince - ahead;
    return machine;
  }

  /** The state that the next process needs, by the clock that is `ahead` of the monotonic one. */
  record(host: string, ahead: number): HostRecord {
    const { limit, slowedAt } = this.#concurrency;
    return {
      host,
      // 0 means never: no change of the clock can turn it into a later time.
      closedUntil: this.#pausedUntil === 0 ? 0 : this.#pausedUntil + ahead,
      failuresInARow: this.#failuresInARow,
      breakerMs: this.#breakerMs,
      breakerUntil: this.#breakerUntil === 0 ? 0 : this.#breakerUntil + ahead,
      unavailableSince: this.#unavailableSince === undefined ? undefined : this.#unavailableSince + ahead,
      concurrencyLimit: limit,
      slowedAt: Number.isFinite(slowedAt) ? slowedAt + ahead : 0,
    };
  }

  stateAt(now: number): HostStateName {
    if (this.#breakerUntil > Math.max(now, this.#pausedUntil)) return "breaker";
    if (this.#pausedUntil > now) return "waiting";
    if (this.#breakerMs > 0) return "probing";
    if (this.#concurrency.isSlow(now)) return "slowed";
    return this.#limits.ratePerSecond > 0 ? "rate" : "open";
  }

  /** The deadline of the present state; `undefined` if only an event ends it. */
  endOf(state: HostStateName): number | undefined {
    switch (state) {
      case "breaker":
        return this.#breakerUntil;
      case "waiting":
        return this.#pausedUntil;
      case "slowed":
        return this.#concurrency.slowUntil;
      default:
        return undefined;
    }
  }

  /** Downloads that have a permit. */
  get underWay(): number {
    return this.#startedAt.length;
  }

  /** The time of the next permitted start. */
  get opensAt(): number {
    return Math.max(this.#pausedUntil, this.#breakerUntil, this.#nextStart);
  }

  /** Most downloads that may run at once now; 0 while no start is permitted. */
  limitAt(now: number): number {
    if (this.#nextStart > now) return 0;
    const limit = this.#concurrencyOf(this.stateAt(now), now);
    // With a rate, one at a time: each start closes the host until the next one is due.
    return this.#limits.ratePerSecond > 0 ? Math.min(limit, this.underWay + 1) : limit;
  }

  /** The same without the time between two starts that the rate imposes. */
  concurrencyAt(now: number): number {
    const hasRateAlone = this.#limits.ratePerSecond > 0 && this.#concurrency.limit >= 1;
    return hasRateAlone ? this.#concurrencyOf(this.stateAt(now), now) : this.limitAt(now);
  }

  /** The state, its reason and the configured limits, as an operator sees them. */
  viewAt(now: number): HostView {
    const { maxConcurrency, ratePerSecond } = this.#limits;
    const state = this.stateAt(now);
    return {
      maxConcurrency,
      ratePerSecond,
      state,
      code: state === "open" || state === "rate" ? undefined : this.#complaint,
      slowedMsAgo: this.#concurrency.isSlow(now) ? Math.max(0, now - this.#concurrency.slowedAt) : undefined,
    };
  }

  /** The limit after complaints, as a fraction. */
  get currentLimit(): number {
    return this.#concurrency.limit;
  }

  get failuresInARow(): number {
    return this.#failuresInARow;
  }

  /** How long no answer has closed the breaker, in milliseconds; `undefined` while it is closed. */
  unavailableFor(now: number): number | undefined {
    return this.#unavailableSince === undefined ? undefined : now - this.#unavailableSince;
  }

  /** How long the host has been closed or tested, in milliseconds; `undefined` if it is not, or the time is unknown. */
  closedSinceMs(now: number): number | undefined {
    if (!isClosed(this.stateAt(now))) return undefined;
    const since = this.#unavailableSince ?? this.#pausedSince;
    return since === undefined ? undefined : now - since;
  }

  /** Whether the next process needs to know the host. */
  isWorthRemembering(now: number): boolean {
    return this.#breakerMs > 0 || this.#pausedUntil > now || this.#concurrency.isSlow(now);
  }

  /** Whether a new machine would behave in the same way. */
  isFresh(now: number): boolean {
    if (this.underWay > 0 || this.#failuresInARow > 0 || this.#nextStart > now) return false;
    return !this.isWorthRemembering(now);
  }

  /** Whether the host may have a record of an earlier state. */
  get mayHaveRecord(): boolean {
    return this.#pausedUntil > 0 || Number.isFinite(this.#concurrency.slowedAt);
  }

  /** True if the breaker closed: the new limits have none. */
  setLimits(limits: HostLimits, now: number): boolean {
    this.#limits = limits;
    this.#concurrency.setMost(limits.maxConcurrency);
    // The old rate may have set a start that is far away.
    const { ratePerSecond } = limits;
    this.#nextStart = Math.min(this.#nextStart, now + (ratePerSecond > 0 ? 1000 / ratePerSecond : 0));
    return limits.breakerFailures === 0 && this.#closeBreaker();
  }

  /** A download has got a permit. */
  started(now: number): void {
    this.#startedAt.push(now);
    const { ratePerSecond } = this.#limits;
    if (ratePerSecond > 0) this.#delayStart(now, 1000 / ratePerSecond);
  }

  /** A download gives its permit back. `tookMs` is 0 if no worker took it. */
  ended(tookMs: number, now: number): void {
    this.#startedAt.shift();
    const pauseMs = this.#concurrency.pauseAfter(tookMs);
    if (pauseMs > 0) this.#delayStart(now, pauseMs);
  }

  /** True if there is something new to write down. */
  answered(now: number): boolean {
    const hasClosed = this.#closeBreaker();
    if (!this.#concurrency.isSlow(now)) return hasClosed;
    this.#concurrency.speedUp();
    return true;
  }

  /** Lets one download test a closed host before its time. False if the host is not closed. */
  reopen(now: number): boolean {
    if (!isShut(this.stateAt(now))) return false;
    // Not 0, because the host may have a record of the pause.
    this.#pausedUntil = Math.min(this.#pausedUntil, now);
    this.#breakerUntil = Math.min(this.#breakerUntil, now);
    this.#breakerMs = BREAKER_FIRST_MS;
    return true;
  }

  pauseUntil(until: number, now: number): void {
    // A longer pause is still the same one.
    if (this.#pausedUntil <= now) this.#pausedSince = now;
    this.#pausedUntil = Math.max(this.#pausedUntil, until);
  }

  /** The host asked for a pause in its answer. */
  throttled(until: number, now: number, code: string | undefined): void {
    this.#closeBreaker();
    this.complained(now, code);
    this.pauseUntil(until, now);
  }

  /** The host reported overload. To be called before the download's `ended`. */
  complained(now: number, code: string | undefined): void {
    this.#complaint = code;
    this.#concurrency.slowDown(this.#startOfEarliest(now), now, Math.max(1, this.underWay));
  }

  /** A transient failure. Returns `slowed` after a slow-down, and `breaker` if the breaker opened. */
  failed(now: number, code: string | undefined): "breaker" | "slowed" | undefined {
    this.#failuresInARow++;
    const isComplaint = this.#failuresInARow >= COMPLAINT_FAILURES;
    if (isComplaint) {
      this.#complaint = code;
      // The limit stays at one: a longer pause is the breaker's.
      this.#concurrency.slowDown(this.#startOfEarliest(now), now, Math.max(1, this.underWay), 1);
    }
    if (this.#opensBreaker(now)) {
      this.#openBreaker(now, code);
      return "breaker";
    }
    return isComplaint ? "slowed" : undefined;
  }

  /**
   * Moves the deadlines that a pause of the queue stops, after a pause of `ms`. Only the age of an unavailable host is
   * one: no probe could reach the host meanwhile. Pauses and breakers end by the host's time. False: it had none.
   */
  shiftDeadlines(ms: number, now: number): boolean {
    if (this.#unavailableSince === undefined) return false;
    this.#unavailableSince = Math.min(now, this.#unavailableSince + ms);
    return true;
  }

  #concurrencyOf(state: HostStateName, now: number): number {
    if (isShut(state)) return 0;
    return state === "probing" ? 1 : this.#concurrency.downloads(now);
  }

  /** Downloads that were under way when the breaker opened bring no news. */
  #opensBreaker(now: number): boolean {
    const { breakerFailures } = this.#limits;
    return breakerFailures > 0 && this.#failuresInARow >= breakerFailures && this.#breakerUntil <= now;
  }

  #openBreaker(now: number, code: string | undefined): void {
    this.#complaint = code;
    this.#breakerMs = Math.min(this.#breakerMs === 0 ? BREAKER_FIRST_MS : this.#breakerMs * 2, BREAKER_MAX_MS);
    this.#breakerUntil = now + this.#breakerMs;
    this.#unavailableSince ??= now;
  }

  /** False if it is closed already. */
  #closeBreaker(): boolean {
    this.#failuresInARow = 0;
    if (this.#breakerMs === 0) return false;
    this.#breakerMs = 0;
    this.#breakerUntil = 0;
    this.#unavailableSince = undefined;
    return true;
  }

  /** A start that the rate has set to a later time stays there. */
  #delayStart(now: number, ms: number): void {
    this.#nextStart = Math.max(this.#nextStart, now + ms);
  }

  /**
   * The start of the download that reports now, approximately: downloads end in about the order of their starts. It
   * counts from its permit, because it may have waited in the channel since before the last slow-down.
   */
  #startOfEarliest(now: number): number {
    return this.#startedAt[0] ?? now;
  }
}
