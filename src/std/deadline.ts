import type { Clock } from "./clock.ts";

interface DeadlineOptions {
  readonly clock: Pick<Clock, "after">;
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Makes the error for a limit that passed. */
  readonly onLimit: () => Error;
}

/**
 * The outcome of `work`. If the signal aborts or the limit passes first, it calls `release`, which frees the resources
 * of `work`, and rejects at once. The outcome of `work` is then ignored.
 */
export function withDeadline<T>(deadline: DeadlineOptions, work: () => Promise<T>, release: () => void): Promise<T> {
  const { clock, limitMs, signal } = deadline;
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal.aborted) {
    release();
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
      release();
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
