import type { HostRecord } from "../../jobs/host-record.ts";
import type { HostStateName } from "../../jobs/host-view.ts";
import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import type { HostLimits } from "./host-rules.ts";

/**
 * What is known of a host. All times by the monotonic clock, which the broker waits by: fractions of another would come
 * too early.
 */
export interface HostState {
  limits: HostLimits;
  readonly concurrency: ConcurrencyLimit;
  /** When each download that is under way was let through, the first one first. */
  readonly permits: number[];
  /** Left alone until then: it asked for that. */
  closedUntil: number;
  /** Its rate or its pace lets the next download start then. */
  nextStart: number;
  failuresInARow: number;
  /** How long the breaker was open last; 0 while it is closed. */
  breakerMs: number;
  /** The breaker is open until then, and half open from then on until an answer comes. */
  breakerUntil: number;
  unavailableSince: number | undefined;
  /** The failure code of the latest complaint; unknown where an earlier process heard it. */
  complaint: string | undefined;
}

/** How the host is treated. */
export function stateName(state: HostState, isSlow: boolean, now: number): HostStateName {
  const { closedUntil, breakerUntil, breakerMs, limits } = state;
  if (breakerUntil > Math.max(now, closedUntil)) return "breaker";
  if (closedUntil > now) return "waiting";
  if (breakerMs > 0) return "probing";
  if (isSlow) return "slowed";
  return limits.ratePerSecond > 0 ? "rate" : "open";
}

/** From when on it may be asked. */
export function opensAt({ closedUntil, breakerUntil, nextStart }: HostState): number {
  return Math.max(closedUntil, breakerUntil, nextStart);
}

/** What the next process is to know of it; by the clock that is `ahead` of the monotonic one. */
export function recordOf(host: string, state: HostState, ahead: number): HostRecord {
  const { closedUntil, failuresInARow, breakerMs, breakerUntil, unavailableSince, concurrency: pace } = state;
  return {
    host,
    // 0: not at all, which no clock that is set can make a later time of.
    closedUntil: closedUntil === 0 ? 0 : closedUntil + ahead,
    failuresInARow,
    breakerMs,
    breakerUntil: breakerUntil === 0 ? 0 : breakerUntil + ahead,
    unavailableSince: unavailableSince === undefined ? undefined : unavailableSince + ahead,
    bears: pace.bears,
    slowedAt: Number.isFinite(pace.slowedAt) ? pace.slowedAt + ahead : 0,
  };
}
