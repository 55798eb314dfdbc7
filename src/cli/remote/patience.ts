import { delay, systemClock } from "../../std/clock.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { type StopSignal, stopSignal } from "../stop-signal.ts";
import { BusyError, UnreachableError } from "./remote-client.ts";

/** Longest time without an answer: a restart of the service takes less. */
const AWAY_MS = 120_000;
const AGAIN_MS = 500;

/**
 * The one rule for waiting. A busy service gets the request again after its `Retry-After`. A service that stopped
 * answering gets it again for two minutes. `--timeout` and Ctrl-C end the wait.
 */
export class Patience {
  readonly #stop = new AbortController();
  readonly #notify: (text: string) => void;
  /** The time of the last answer, or `undefined` before the first. */
  #heardAt: number | undefined;
  #isAway = false;

  /** `notify` receives the reasons for waiting. @throws UsageError for an invalid timeout */
  constructor(timeout: string | undefined, notify: (text: string) => void) {
    this.#notify = notify;
    if (timeout !== undefined) {
      const seconds = Number(timeout);
      if (!(seconds > 0)) throw new UsageError("--timeout must be a number of seconds above 0");
      systemClock.after(seconds * 1000, () =>
        this.#stop.abort(new WorkFailedError(`--timeout of ${timeout} s has passed`)),
      );
    }
    void stopSignal(() => {}).then((signal) => this.#stop.abort(interruptedBy(signal)));
  }

  /** The answer to a request, which is repeated while that can help. @throws its error, or the end of the wait */
  async ask<T>(request: () => Promise<T>): Promise<T> {
    for (;;) {
      this.#stop.signal.throwIfAborted();
      try {
        const answer = await this.#unlessStopped(request());
        this.#heardAt = systemClock.monotonic();
        this.#isAway = false;
        return answer;
      } catch (error) {
        await this.wait(this.#waitMs(error));
      }
    }
  }

  /** Resolves after a time. @throws the end of the wait */
  wait(ms: number): Promise<void> {
    return delay(systemClock, ms, this.#stop.signal);
  }

  /** The time until the request is repeated. @throws the error if a repetition cannot help */
  #waitMs(error: unknown): number {
    const now = systemClock.monotonic();
    if (error instanceof BusyError) {
      this.#heardAt = now;
      this.#notify(`${error.message}; next try in ${Math.round(error.retryAfterMs / 1000)} s`);
      return error.retryAfterMs;
    }
    const isAway = error instanceof UnreachableError && this.#heardAt !== undefined && now - this.#heardAt < AWAY_MS;
    if (!isAway) throw error;
    if (!this.#isAway) this.#notify("the service does not answer; waiting for it");
    this.#isAway = true;
    return AGAIN_MS;
  }

  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    const stopped = Promise.withResolvers<never>();
    const stop = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", stop);
    try {
      return await Promise.race([work, stopped.promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}

function interruptedBy(signal: StopSignal): WorkFailedError {
  return new WorkFailedError(signal === "SIGINT" ? "interrupted by Ctrl-C" : `interrupted by ${signal}`);
}
