import type { Clock } from "../../../std/clock.ts";

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

interface DeadlineOptions {
  readonly clock: Pick<Clock, "after" | "monotonic">;
  readonly limitMs: number;
  readonly signal: AbortSignal;
  /** Makes the reason for a limit that passed. */
  readonly onLimit: () => unknown;
}

/** Starts to run at once. Progress only records the time, and a single timer checks it. */
export function createDeadline({ clock, limitMs, signal: outer, onLimit }: DeadlineOptions): Deadline {
  const controller = new AbortController();
  const onAbort = () => controller.abort(outer.reason);
  let touchedAt: number | undefined;
  let timer: { cancel(): void } | undefined;

  function check(): void {
    timer = undefined;
    if (touchedAt === undefined) return;
    const leftMs = touchedAt + limitMs - clock.monotonic();
    if (leftMs > 0) timer = clock.after(leftMs, check);
    else controller.abort(onLimit());
  }

  function touch(): void {
    touchedAt = clock.monotonic();
    timer ??= clock.after(limitMs, check);
  }

  if (outer.aborted) onAbort();
  else outer.addEventListener("abort", onAbort, { once: true });
  touch();
  return {
    signal: controller.signal,
    touch,
    pause() {
      touchedAt = undefined;
    },
    abort: (reason) => controller.abort(reason),
    end() {
      touchedAt = undefined;
      timer?.cancel();
      outer.removeEventListener("abort", onAbort);
    },
  };
}
