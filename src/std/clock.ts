/** A task that runs periodically. */
export interface PeriodicTask {
  readonly everyMs: number;
  /** The time until the first run; absent: `everyMs`. */
  readonly firstMs?: number;
  /** It must not throw. The time to the next run starts when it is done. */
  readonly run: (signal: AbortSignal) => void | Promise<void>;
}

/** Time as an argument, so that tests need not sleep. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch: for times that are stored and shown. It may jump. */
  readonly now: () => number;
  /** Milliseconds that only grow: for durations and for waits within one process. */
  readonly monotonic: () => number;
  /**
   * The wall clock at the process's start plus the time since, milliseconds since the epoch: for due times, and
   * for limits to how long something may wait. It does not jump while the process lives.
   */
  readonly steady: () => number;
  /** Calls `action` once after `ms`, at once where `ms` is negative, unless it is cancelled first. */
  readonly after: (ms: number, action: () => void) => { cancel(): void };
}

/** Longer timers overflow in the runtime and fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const STARTED_AT = Date.now() - performance.now();

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  steady: () => Math.floor(STARTED_AT + performance.now()),
  after(ms, action) {
    // A due time may have passed since the caller looked at the clock; the runtime warns of negative times.
    const timer = setTimeout(action, Math.min(Math.max(0, ms), TIMER_MAX_MS));
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Resolves after `ms`; rejects with the signal's reason if that comes first. */
export function delay(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.after(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    signal.addEventListener("abort", stop, { once: true });
  });
}
