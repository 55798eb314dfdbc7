import type { Clock } from "../std/clock.ts";

interface Deadline {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** The error once the limit has passed. */
  readonly onLimit: () => Error;
}

/**
 * Gives what `work` gives. If the signal aborts or the limit passes first, it calls `giveUp`, which frees what `work`
 * holds, and rejects at once, whatever `work` does then.
 */
export function withDeadline<T>(deadline: Deadline, work: () => Promise<T>, giveUp: () => void): Promise<T> {
  const { clock, limitMs, signal } = deadline;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal.aborted) {
    giveUp();
    return Promise.reject(signal.reason);
  }
  let isOver = false;
  const finish = (settle: () => void) => {
    if (isOver) return;
    isOver = true;
    timer.cancel();
    signal.removeEventListener("abort", onAbort);
    settle();
  };
  const stop = (reason: unknown) =>
    finish(() => {
      giveUp();
      reject(reason);
    });
  const onAbort = () => stop(signal.reason);
  const timer = clock.after(limitMs, () => stop(deadline.onLimit()));
  signal.addEventListener("abort", onAbort, { once: true });
  work().then(
    (value) => finish(() => resolve(value)),
    (error: unknown) => finish(() => reject(error)),
  );
  return promise;
}
