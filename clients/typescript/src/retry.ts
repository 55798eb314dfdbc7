import { FetchBoxError } from "./errors.ts";

/** The rule for repeated requests. */
export interface RetryPolicy {
  /** The most repeats in a row after connections that fail. */
  readonly retries: number;
  /** The delay before the first repeat; each later one is twice as long, up to 10 s. */
  readonly retryDelayMs: number;
  /** The longest total wait for a busy service (429, 503). */
  readonly busyTimeoutMs: number;
}

/** `always`: a request may be sent twice. `refused`: only if the service refused it. */
export type Repeatable = "always" | "refused";

const DELAY_MAX_MS = 10_000;
const GATEWAY_STATUSES = [502, 503, 504];

/**
 * The result of a request that is repeated while that can help: after the service's `Retry-After`, or with growing
 * delays after a broken connection. `send` makes one attempt.
 * @throws the last error of `send`, or the reason of the signal
 */
export async function repeated<T>(
  send: () => Promise<T>,
  policy: RetryPolicy,
  repeatable: Repeatable,
  signal: AbortSignal | undefined,
): Promise<T> {
  let failures = 0;
  let busyMs = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof FetchBoxError)) throw error;
      if (isBusy(error)) {
        // A service that asks for no wait at all would otherwise be asked without a pause and without an end.
        const waitMs = Math.max(error.retryAfterMs, policy.retryDelayMs);
        busyMs += waitMs;
        if (busyMs > policy.busyTimeoutMs) throw error;
        failures = 0;
        await delay(waitMs, signal);
      } else {
        if (repeatable !== "always" || !isTransient(error) || failures >= policy.retries) throw error;
        await delay(backoffMs(policy, failures), signal);
        failures += 1;
      }
    }
  }
}

/** The delay before a repeat. The random half keeps many clients from coming back at the same time. */
export function backoffMs({ retryDelayMs }: RetryPolicy, failures: number): number {
  const full = Math.min(DELAY_MAX_MS, retryDelayMs * 2 ** failures);
  return full / 2 + (Math.random() * full) / 2;
}

/** Resolves after a time. @throws the reason of the signal */
export function delay(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const aborted = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}

function isBusy(error: FetchBoxError): error is FetchBoxError & { readonly retryAfterMs: number } {
  return (error.status === 429 || error.status === 503) && error.retryAfterMs !== undefined;
}

/** True where a repeat can get another answer: broken connections, gateways, and the same submission still running. */
export function isTransient({ code, status }: FetchBoxError): boolean {
  if (status === 0) return code === "NETWORK_ERROR" || code === "TIMEOUT";
  return GATEWAY_STATUSES.includes(status) || code === "IDEMPOTENCY_IN_PROGRESS";
}
