import type { Clock } from "../std/clock.ts";

const EVERY_MS = 500;
/** From this lateness on, the event loop counts as stuck. */
const STUCK_MS = 2000;
/** The time that a stuck loop stays reported after it has recovered. */
const REMEMBERED_MS = 10_000;

export interface EventLoopWatch {
  /** The milliseconds that the loop is or recently was stuck, or `undefined`. */
  stuckMs(): number | undefined;
  stop(): void;
}

/** Measures regularly how late a timer fires. `observe` receives the seconds that other work held the event loop. */
export function watchEventLoop(clock: Clock, observe: (seconds: number) => void): EventLoopWatch {
  let timer: { cancel(): void };
  let due = 0;
  let stuck: { readonly ms: number; readonly at: number } | undefined;

  const lateness = () => Math.max(0, clock.monotonic() - due);
  const next = () => {
    due = clock.monotonic() + EVERY_MS;
    timer = clock.after(EVERY_MS, () => {
      const late = lateness();
      observe(late / 1000);
      if (late >= STUCK_MS) stuck = { ms: late, at: clock.monotonic() };
      next();
    });
  };
  next();
  return {
    stuckMs() {
      // The call may come before the late timer.
      if (lateness() >= STUCK_MS) return lateness();
      return stuck !== undefined && clock.monotonic() - stuck.at < REMEMBERED_MS ? stuck.ms : undefined;
    },
    stop() {
      timer.cancel();
      due = Number.POSITIVE_INFINITY;
    },
  };
}
