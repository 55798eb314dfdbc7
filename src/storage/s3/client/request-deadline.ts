/** A signal that fires with the outer one, or after some time without progress. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** There was progress: starts the time anew, also after a `pause`. */
  readonly touch: () => void;
  /** It is not the other side's turn: stops the time. */
  readonly pause: () => void;
  /** Aborts right now. */
  readonly abort: (reason: unknown) => void;
  /** Must be called once the work has ended: clears the timer and lets the outer signal go. */
  readonly end: () => void;
}

/** Starts to run at once. `expired` makes the abort reason. */
export function createDeadline(outer: AbortSignal, ms: number, expired: () => unknown): Deadline {
  const controller = new AbortController();
  const onAbort = () => controller.abort(outer.reason);
  let timer: Timer | undefined;

  function pause(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function touch(): void {
    if (timer === undefined) timer = setTimeout(() => controller.abort(expired()), ms);
    else timer.refresh();
  }

  if (outer.aborted) onAbort();
  else outer.addEventListener("abort", onAbort, { once: true });
  touch();
  return {
    signal: controller.signal,
    touch,
    pause,
    abort: (reason) => controller.abort(reason),
    end() {
      pause();
      outer.removeEventListener("abort", onAbort);
    },
  };
}
