import type { Clock } from "../jobs/clock.ts";

export interface HostLimits {
  /** Downloads from one host at the same time, over all jobs. */
  readonly maxConcurrency: number;
  /** Requests per second to one host; 0 = no limit. */
  readonly ratePerSecond: number;
  /** Transient failures in a row that open the breaker; 0 = no breaker. */
  readonly breakerFailures: number;
}

const BREAKER_FIRST_MS = 1000;
const BREAKER_MAX_MS = 30_000;
/** At most so many hosts are remembered; the one that is known longest goes first, unless it is in use. */
const HOSTS_MAX = 100_000;

/** All times by the monotonic clock. */
interface HostState {
  active: number;
  /** Left alone until then: it throttled us, or its rate is used up. */
  closedUntil: number;
  failuresInARow: number;
  /** How long the breaker was open last; 0 while it is closed. */
  breakerMs: number;
  /** The breaker is open until then, and half open from then on until an answer comes. */
  breakerUntil: number;
}

/**
 * Decides how many downloads from one host (name and port) may start now, over all jobs. Who waits for a host waits in
 * the queue and holds no worker.
 */
export class HostGovernor {
  readonly #limits: HostLimits;
  readonly #clock: Clock;
  readonly #hosts = new Map<string, HostState>();
  /** Hosts that are closed for a time. */
  readonly #closed = new Set<string>();
  readonly #onFree: () => void;

  constructor(limits: HostLimits, clock: Clock, onFree: () => void) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onFree = onFree;
  }

  /** Hosts that there is something to remember of. */
  get size(): number {
    return this.#hosts.size;
  }

  /** Downloads that may start now. */
  room(host: string): number {
    const state = this.#hosts.get(host);
    const limit = this.#limitOf(state);
    return Math.max(0, limit - (state?.active ?? 0));
  }

  /** Most that may run at once; 0 while the host is left alone. */
  limit(host: string): number {
    return this.#limitOf(this.#hosts.get(host));
  }

  /** For how many more milliseconds the host is left alone. */
  closedFor(host: string): number {
    const state = this.#hosts.get(host);
    if (state === undefined) return 0;
    return Math.max(0, Math.max(state.closedUntil, state.breakerUntil) - this.#clock.monotonic());
  }

  acquire(host: string): void {
    const state = this.#state(host);
    state.active++;
    const { ratePerSecond } = this.#limits;
    if (ratePerSecond > 0) this.#closeFor(host, state, 1000 / ratePerSecond);
  }

  release(host: string): void {
    const state = this.#state(host);
    state.active--;
    this.#forgetIfIdle(host, state);
    this.#onFree();
  }

  /** The host wants to be left alone for a while, by every job. */
  throttle(host: string, ms: number): void {
    this.#closeFor(host, this.#state(host), ms);
  }

  /** The host answered: its breaker closes. */
  answered(host: string): void {
    const state = this.#hosts.get(host);
    if (state === undefined) return;
    state.failuresInARow = 0;
    state.breakerMs = 0;
    state.breakerUntil = 0;
  }

  /** The host failed in a way that may pass; enough of that in a row and it is left alone. */
  failed(host: string): void {
    const { breakerFailures } = this.#limits;
    if (breakerFailures === 0) return;
    const state = this.#state(host);
    state.failuresInARow++;
    if (state.failuresInARow < breakerFailures) return;
    // Downloads that were under way when it opened say nothing new.
    const now = this.#clock.monotonic();
    if (state.breakerUntil > now) return;
    state.breakerMs = Math.min(state.breakerMs === 0 ? BREAKER_FIRST_MS : state.breakerMs * 2, BREAKER_MAX_MS);
    state.breakerUntil = now + state.breakerMs;
    this.#closed.add(host);
  }

  /** When the first closed host may be tried again, if that is after `since`; by the monotonic clock. */
  nextOpening(since = this.#clock.monotonic()): number | undefined {
    let next: number | undefined;
    for (const host of this.#closed) {
      const state = this.#hosts.get(host);
      const opensAt = state === undefined ? 0 : Math.max(state.closedUntil, state.breakerUntil);
      if (opensAt > since) next = Math.min(next ?? opensAt, opensAt);
      else {
        this.#closed.delete(host);
        if (state !== undefined) this.#forgetIfIdle(host, state);
      }
    }
    return next;
  }

  #limitOf(state: HostState | undefined): number {
    if (state === undefined) return this.#limits.maxConcurrency;
    if (Math.max(state.closedUntil, state.breakerUntil) > this.#clock.monotonic()) return 0;
    if (state.breakerMs > 0) return 1; // half open: one probe
    // With a rate, one at a time: each start closes the host until the next is due.
    return this.#limits.ratePerSecond > 0
      ? Math.min(this.#limits.maxConcurrency, state.active + 1)
      : this.#limits.maxConcurrency;
  }

  #closeFor(host: string, state: HostState, ms: number): void {
    state.closedUntil = Math.max(state.closedUntil, this.#clock.monotonic() + ms);
    this.#closed.add(host);
  }

  #state(host: string): HostState {
    let state = this.#hosts.get(host);
    if (state === undefined) {
      if (this.#hosts.size >= HOSTS_MAX) this.#forgetOldest();
      state = { active: 0, closedUntil: 0, failuresInARow: 0, breakerMs: 0, breakerUntil: 0 };
      this.#hosts.set(host, state);
    }
    return state;
  }

  #forgetIfIdle(host: string, state: HostState): void {
    const remembers = state.failuresInARow > 0 || state.breakerMs > 0 || state.closedUntil > this.#clock.monotonic();
    if (state.active === 0 && !remembers) this.#hosts.delete(host);
  }

  #forgetOldest(): void {
    for (const [host, { active }] of this.#hosts) {
      if (active > 0) continue;
      this.#hosts.delete(host);
      return;
    }
  }
}
