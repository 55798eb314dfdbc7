/** Limits the callers at work at one time; the others wait in their order. */
interface Permits {
  /** The function that gives a permit back, where one is free. */
  tryAcquire(): (() => void) | undefined;
  /** Resolves with the function that gives the permit back, to be called once. Rejects with the signal's reason. */
  acquire(signal: AbortSignal): Promise<() => void>;
}

export function createPermits(count: number): Permits {
  const waiting = new Set<() => void>();
  let free = count;

  // A permit goes straight to the next in line, so that a newcomer cannot take it in between.
  function release(): void {
    for (const next of waiting) {
      waiting.delete(next);
      next();
      return;
    }
    free++;
  }

  function tryAcquire(): (() => void) | undefined {
    if (free === 0) return undefined;
    free--;
    return release;
  }

  return {
    tryAcquire,
    async acquire(signal) {
      signal.throwIfAborted();
      if (tryAcquire() === undefined) await turn(signal);
      return release;
    },
  };

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        waiting.delete(onTurn);
        reject(signal.reason);
      };
      const onTurn = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      waiting.add(onTurn);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
