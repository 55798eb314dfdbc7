export function now(): Date {
  return new Date();
}

/** Milliseconds since this page was loaded. A change of the browser's clock does not move them. */
export function pageAgeMs(): number {
  return performance.now();
}

/** A signal that ends a request after a time. */
export function timeLimit(ms: number): AbortSignal {
  return AbortSignal.timeout(ms);
}

/** Calls a function later. The returned function cancels it. */
export function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, ms);
  return () => clearTimeout(timer);
}
