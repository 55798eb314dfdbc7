import type { FailureCode } from "../../jobs/failure.ts";
import type { HostChange, HostRecord } from "../../jobs/host-record.ts";
import type { HostView } from "../../jobs/host-view.ts";
import type { Clock } from "../../std/clock.ts";
import { RETRY_AFTER_MAX_MS } from "../retry.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import type { HostRules } from "./host-rules.ts";
import { type HostState, opensAt, recordOf, stateName } from "./host-state.ts";

const BREAKER_FIRST_MS = 1000;
const BREAKER_MAX_MS = 30_000;
/** So many transient failures in a row are a complaint, too. */
const COMPLAINT_FAILURES = 3;
/** At most so many hosts are remembered; the one that is known longest goes first, unless it is in use. */
const HOSTS_MAX = 100_000;

export interface HostGovernorDeps {
  readonly rules: HostRules;
  readonly clock: Pick<Clock, "steady" | "monotonic">;
  /** A permit has become free. */
  readonly onFree: () => void;
  /** A host is to be left alone: that is worth writing down at once. */
  readonly onClosed?: () => void;
}

/**
 * Decides how many downloads from one host (name and port) may start now, over all jobs. Who waits for a host waits in
 * the queue and holds no worker.
 */
export class HostGovernor {
  readonly #deps: HostGovernorDeps;
  readonly #hosts = new Map<string, HostState>();
  /** Hosts that are closed for a time. */
  readonly #closed = new Set<string>();
  /** Hosts of which there may be something new to write down. */
  readonly #changed = new Set<string>();
  #taken: ReadonlySet<string> = new Set();

  #rules: HostRules;

  constructor(deps: HostGovernorDeps) {
    this.#deps = deps;
    this.#rules = deps.rules;
  }

  /** Takes other limits; what is under way goes on. */
  setRules(rules: HostRules): void {
    this.#rules = rules;
    const now = this.#now();
    for (const [host, state] of this.#hosts) {
      state.limits = rules.limitsOf(host);
      const { maxConcurrency, ratePerSecond, breakerFailures } = state.limits;
      state.concurrency.setMost(maxConcurrency);
      if (breakerFailures === 0) this.#closeBreaker(host, state);
      // Longer than between two starts nobody waits for a rate.
      state.nextStart = Math.min(state.nextStart, now + (ratePerSecond > 0 ? 1000 / ratePerSecond : 0));
    }
    this.#deps.onFree();
  }

  /** Hosts that there is something to remember of. */
  get size(): number {
    return this.#hosts.size;
  }

  /** Downloads that may start now. */
  room(host: string): number {
    return Math.max(0, this.limit(host) - (this.#hosts.get(host)?.permits.length ?? 0));
  }

  /** Most that may run at once; 0 while the host is left alone. */
  limit(host: string): number {
    const state = this.#hosts.get(host);
    return state === undefined ? this.#rules.limitsOf(host).maxConcurrency : this.#limitOf(state);
  }

  /** The same, without the time between two starts that its rate makes. */
  concurrency(host: string): number {
    const state = this.#hosts.get(host);
    if (state === undefined) return this.#rules.limitsOf(host).maxConcurrency;
    const isPaced = state.limits.ratePerSecond > 0 && state.concurrency.bears >= 1;
    return this.#limitOf(isPaced ? { ...state, nextStart: 0, limits: { ...state.limits, ratePerSecond: 0 } } : state);
  }

  /** Whether any host may be left alone now. */
  get hasClosed(): boolean {
    return this.#closed.size > 0;
  }

  /** For how many more milliseconds the host is left alone. */
  closedFor(host: string): number {
    const state = this.#hosts.get(host);
    return state === undefined ? 0 : Math.max(0, opensAt(state) - this.#now());
  }

  /** How the host is treated now, and why. */
  view(host: string): HostView {
    const state = this.#hosts.get(host);
    const limits = state?.limits ?? this.#rules.limitsOf(host);
    const shown = { maxConcurrency: limits.maxConcurrency, ratePerSecond: limits.ratePerSecond };
    if (state === undefined) {
      const name = limits.ratePerSecond > 0 ? "rate" : "open";
      return { ...shown, state: name, code: undefined, slowedMsAgo: undefined };
    }
    const now = this.#now();
    const slowedMsAgo = state.concurrency.isSlow(now) ? Math.max(0, now - state.concurrency.slowedAt) : undefined;
    const name = stateName(state, slowedMsAgo !== undefined, now);
    return {
      ...shown,
      state: name,
      code: name === "open" || name === "rate" ? undefined : state.complaint,
      slowedMsAgo,
    };
  }

  acquire(host: string): void {
    const state = this.#state(host);
    state.permits.push(this.#now());
    const { ratePerSecond } = state.limits;
    if (ratePerSecond > 0) this.#startLater(host, state, 1000 / ratePerSecond);
  }

  /** `tookMs`: how long the download was under way; 0 if there was none. */
  release(host: string, tookMs = 0): void {
    const state = this.#state(host);
    state.permits.shift();
    const pauseMs = state.concurrency.pauseAfter(tookMs);
    if (pauseMs > 0) this.#startLater(host, state, pauseMs);
    this.#forgetIfIdle(host, state);
    this.#deps.onFree();
  }

  /** The host answered: its breaker closes, and it may bear more. */
  answered(host: string): void {
    const state = this.#hosts.get(host);
    if (state === undefined) return;
    this.#closeBreaker(host, state);
    if (!state.concurrency.isSlow(this.#now())) return;
    state.concurrency.speedUp();
    this.#changed.add(host);
  }

  /** The host wants to be left alone for a while, by every job. */
  throttle(host: string, ms: number): void {
    const state = this.#state(host);
    state.closedUntil = Math.max(state.closedUntil, this.#now() + ms);
    this.#closed.add(host);
    this.#writeDown(host);
  }

  /** The host says that it is too much. To be told before the download's `release`. */
  complained(host: string, code?: FailureCode): void {
    const state = this.#state(host);
    state.complaint = code;
    state.concurrency.slowDown(this.#letThroughAt(state), this.#now(), Math.max(1, state.permits.length));
    this.#writeDown(host);
  }

  /** That is an answer, too: it closes the breaker. */
  throttled(host: string, ms: number, code?: FailureCode): void {
    this.#closeBreaker(host, this.#state(host));
    this.complained(host, code);
    this.throttle(host, ms);
  }

  /** The host failed in a way that may pass; enough of that in a row and it is left alone. */
  failed(host: string, code?: FailureCode): void {
    const state = this.#state(host);
    const now = this.#now();
    state.failuresInARow++;
    if (state.failuresInARow >= COMPLAINT_FAILURES) {
      state.complaint = code;
      // Beyond one step it is the breaker's.
      state.concurrency.slowDown(this.#letThroughAt(state), now, Math.max(1, state.permits.length), 1);
      this.#changed.add(host);
    }
    const { breakerFailures } = state.limits;
    if (breakerFailures === 0 || state.failuresInARow < breakerFailures) return;
    // Downloads that were under way when it opened say nothing new.
    if (state.breakerUntil > now) return;
    state.complaint = code;
    state.breakerMs = Math.min(state.breakerMs === 0 ? BREAKER_FIRST_MS : state.breakerMs * 2, BREAKER_MAX_MS);
    state.breakerUntil = now + state.breakerMs;
    state.unavailableSince ??= now;
    this.#closed.add(host);
    this.#writeDown(host);
  }

  /** When the first closed host may be tried again, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#now()): number | undefined {
    let next: number | undefined;
    for (const host of this.#closed) {
      const state = this.#hosts.get(host);
      const at = state === undefined ? 0 : opensAt(state);
      if (at > since) next = Math.min(next ?? at, at);
      else {
        this.#closed.delete(host);
        if (state !== undefined) this.#forgetIfIdle(host, state);
      }
    }
    return next;
  }

  /** Hosts that no breaker's probe has reached since `since` (steady clock), each with the time when that began. */
  unavailable(since: number): Map<string, number> {
    const found = new Map<string, number>();
    const ahead = this.#steadyAhead;
    for (const [host, { unavailableSince }] of this.#hosts) {
      if (unavailableSince === undefined || unavailableSince + ahead > since) continue;
      found.set(host, unavailableSince + ahead);
    }
    return found;
  }

  /** Downloads that run, by host. */
  running(): Map<string, number> {
    const running = new Map<string, number>();
    for (const [host, { permits }] of this.#hosts) if (permits.length > 0) running.set(host, permits.length);
    return running;
  }

  /** A pause of so many milliseconds is over, in which no host could be probed: it counts against none. */
  resumed(pausedMs: number): void {
    for (const [host, state] of this.#hosts) {
      if (state.unavailableSince === undefined) continue;
      state.unavailableSince = Math.min(this.#now(), state.unavailableSince + pausedMs);
      this.#changed.add(host);
    }
  }

  /** Takes in what an earlier process wrote down, once it is in this one's time; no wait is longer than it may be. */
  restore(records: Iterable<HostRecord>): void {
    const [now, ahead] = [this.#now(), this.#steadyAhead];
    for (const { host, failuresInARow, breakerMs, bears, ...times } of records) {
      const limits = this.#rules.limitsOf(host);
      this.#hosts.set(host, {
        limits,
        concurrency: new ConcurrencyLimit(limits.maxConcurrency, bears, Math.min(times.slowedAt - ahead, now)),
        permits: [],
        nextStart: 0,
        closedUntil: Math.min(times.closedUntil - ahead, now + RETRY_AFTER_MAX_MS),
        failuresInARow,
        breakerMs,
        breakerUntil: Math.min(times.breakerUntil - ahead, now + BREAKER_MAX_MS),
        unavailableSince: times.unavailableSince === undefined ? undefined : times.unavailableSince - ahead,
        complaint: undefined,
      });
      this.#closed.add(host);
    }
  }

  get hasChanges(): boolean {
    return this.#changed.size > 0;
  }

  /** What is to be written down since the last call. */
  takeChanges(): HostChange[] {
    this.#taken = new Set(this.#changed);
    this.#changed.clear();
    return [...this.#taken].map((host): HostChange => {
      const state = this.#hosts.get(host);
      return state === undefined || !this.#isWorthRemembering(state)
        ? { host, forget: true }
        : recordOf(host, state, this.#steadyAhead);
    });
  }

  /** What was taken last could not be written down. */
  changesAreLost(): void {
    for (const host of this.#taken) this.#changed.add(host);
  }

  #now(): number {
    return this.#deps.clock.monotonic();
  }

  /** What is written down goes by the steady clock, which the next process shares. */
  get #steadyAhead(): number {
    return this.#deps.clock.steady() - this.#deps.clock.monotonic();
  }

  /**
   * When a download that tells of itself was let through: it waited in the channel since then, so what it tells may be
   * news of before the last slow-down. They end in about the order in which they began.
   */
  #letThroughAt({ permits }: HostState): number {
    return permits[0] ?? this.#now();
  }

  #limitOf(state: HostState): number {
    const now = this.#now();
    if (opensAt(state) > now) return 0;
    if (state.breakerMs > 0) return 1; // half open: one probe
    const limit = state.concurrency.limit(now);
    // With a rate, one at a time: each start closes the host until the next is due.
    return state.limits.ratePerSecond > 0 ? Math.min(limit, state.permits.length + 1) : limit;
  }

  #closeBreaker(host: string, state: HostState): void {
    state.failuresInARow = 0;
    if (state.breakerMs === 0) return;
    state.breakerMs = 0;
    state.breakerUntil = 0;
    state.unavailableSince = undefined;
    this.#changed.add(host);
  }

  /** A start that is due later already, by the rate, stays where it is. */
  #startLater(host: string, state: HostState, ms: number): void {
    state.nextStart = Math.max(state.nextStart, this.#now() + ms);
    this.#closed.add(host);
  }

  #writeDown(host: string): void {
    this.#changed.add(host);
    this.#deps.onClosed?.();
  }

  #state(host: string): HostState {
    let state = this.#hosts.get(host);
    if (state === undefined) {
      if (this.#hosts.size >= HOSTS_MAX) this.#forgetOldest();
      const limits = this.#rules.limitsOf(host);
      state = {
        limits,
        concurrency: new ConcurrencyLimit(limits.maxConcurrency),
        permits: [],
        closedUntil: 0,
        nextStart: 0,
        failuresInARow: 0,
        breakerMs: 0,
        breakerUntil: 0,
        unavailableSince: undefined,
        complaint: undefined,
      };
      this.#hosts.set(host, state);
    }
    return state;
  }

  #isWorthRemembering(state: HostState): boolean {
    const now = this.#now();
    return state.breakerMs > 0 || state.closedUntil > now || state.concurrency.isSlow(now);
  }

  #forgetIfIdle(host: string, state: HostState): void {
    if (state.permits.length > 0 || state.failuresInARow > 0 || state.nextStart > this.#now()) return;
    if (this.#isWorthRemembering(state)) return;
    this.#hosts.delete(host);
    if (state.closedUntil > 0 || Number.isFinite(state.concurrency.slowedAt)) this.#changed.add(host);
  }

  #forgetOldest(): void {
    for (const [host, state] of this.#hosts) {
      if (state.permits.length > 0) continue;
      if (this.#isWorthRemembering(state)) this.#changed.add(host);
      this.#hosts.delete(host);
      return;
    }
  }
}
