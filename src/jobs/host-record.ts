/**
 * The state of a host (name and port) that must outlive the process. Times are milliseconds by the steady clock.
 */
export interface HostRecord {
  readonly host: string;
  /** Left alone until then, because it asked for that. */
  readonly closedUntil: number;
  readonly failuresInARow: number;
  /** How long its breaker was open last; 0 while it is closed. */
  readonly breakerMs: number;
  readonly breakerUntil: number;
  /** Since when its breaker has not been closed by any answer. */
  readonly unavailableSince: number | undefined;
  /** Downloads at a time that it has lately proved to bear, on the average: less than one is one with pauses. */
  readonly concurrencyLimit: number;
  /** When that was lowered last. */
  readonly slowedAt: number;
}

/** A change: a new record, or no record from now on. */
export type HostChange = HostRecord | { readonly host: string; readonly forget: true };
