/**
 * What must not be forgotten of a host (name and port) when the process ends. Times are milliseconds by the steady
 * clock.
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

/** What has changed: the record, or nothing more to remember. */
export type HostChange = HostRecord | { readonly host: string; readonly forget: true };
