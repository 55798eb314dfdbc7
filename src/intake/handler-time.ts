import type { Clock } from "../jobs/clock.ts";

/** A handler that is silent for so long hangs: a client waits for what it does, and so does a shutdown. */
export const HANDLER_SILENCE_MS = 15_000;

/** What a handler's promise comes to. @throws what it rejects with, or an Error after HANDLER_SILENCE_MS. */
export async function inTime<T>(work: T | PromiseLike<T>, clock: Clock): Promise<T> {
  const silence = Promise.withResolvers<never>();
  const timer = clock.after(HANDLER_SILENCE_MS, () =>
    silence.reject(new Error(`the handler hangs: nothing came of it for ${HANDLER_SILENCE_MS} ms`)),
  );
  try {
    return await Promise.race([work, silence.promise]);
  } finally {
    timer.cancel();
  }
}

/** What a handler yields, each step in time. Ended early, the handler is told, but not waited for: it may hang. */
export async function* stepsInTime<T>(steps: Iterable<T> | AsyncIterable<T>, clock: Clock): AsyncGenerator<T> {
  if (!(Symbol.asyncIterator in steps)) {
    yield* steps; // never waits
    return;
  }
  const iterator = steps[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const step = await inTime(iterator.next(), clock);
      ended = step.done === true;
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    if (!ended) void endEarly(iterator);
  }
}

async function endEarly(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // Why it was ended is what counts.
  }
}
