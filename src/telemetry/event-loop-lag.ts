import type { Clock } from "../std/clock.ts";

const EVERY_MS = 500;
/** Later than that nobody calls the service responsive. */
const STUCK_MS = 2000;
/** A loop that has been stuck is looked at for so long before it is trusted again. */
const REMEMBERED_MS = 10_000;

export interface EventLoopWatch {
  /** How long the loop was stuck, milliseconds, where that is so or was so a moment ago. */
  stuckMs(): number | undefined;
  stop(): void;
}

/** Tells again and again how late a timer came, in seconds: how long something else kept the event loop. */
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
      // Who asks may have come before the timer.
      if (lateness() >= STUCK_MS) return lateness();
      return stuck !== undefined && clock.monotonic() - stuck.at < REMEMBERED_MS ? stuck.ms : undefined;
    },
    stop() {
      timer.cancel();
      due = Number.POSITIVE_INFINITY;
    },
  };
}
