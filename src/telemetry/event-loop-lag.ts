import type { Clock } from "../jobs/clock.ts";

const EVERY_MS = 500;

/** Tells again and again how late a timer came, in seconds: how long something else kept the event loop. */
export function watchEventLoop(clock: Clock, observe: (seconds: number) => void): { stop(): void } {
  let timer: { cancel(): void };
  const next = () => {
    const due = clock.monotonic() + EVERY_MS;
    timer = clock.after(EVERY_MS, () => {
      observe(Math.max(0, clock.monotonic() - due) / 1000);
      next();
    });
  };
  next();
  return { stop: () => timer.cancel() };
}
