import { delay, systemClock } from "../../std/clock.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { type StopSignal, stopSignal } from "../stop-signal.ts";
import { BusyError, UnreachableError } from "./remote-client.ts";

/** A service that starts anew is away for so long at most. */
const AWAY_MS = 120_000;
const AGAIN_MS = 500;

/**
 * The one rule for waiting: a service that is busy is asked again when it says, one that does not answer any more for
 * two minutes. `--timeout` ends all of it, and so does Ctrl-C.
 */
export class Patience {
  readonly #stop = new AbortController();
  readonly #tell: (text: string) => void;
  /** When the service answered last; nothing before it ever did. */
  #heardAt: number | undefined;
  #isAway = false;

  /** `tell` hears why somebody has to wait. @throws UsageError for a timeout that is none */
  constructor(timeout: string | undefined, tell: (text: string) => void) {
    this.#tell = tell;
    if (timeout !== undefined) {
      const seconds = Number(timeout);
      if (!(seconds > 0)) throw new UsageError("--timeout must be a number of seconds, above 0");
      systemClock.after(seconds * 1000, () =>
        this.#stop.abort(new WorkFailedError(`--timeout: ${timeout} s are over`)),
      );
    }
    void stopSignal(() => {}).then((signal) => this.#stop.abort(interruptedBy(signal)));
  }

  /**
   * The answer to a request, asked again as long as that has a point. @throws its error, or why it is not waited for
   */
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

  /** @throws why nobody waits any longer */
  wait(ms: number): Promise<void> {
    return delay(systemClock, ms, this.#stop.signal);
  }

  /** How long to wait before the same is asked again. @throws the error where that has no point */
  #waitMs(error: unknown): number {
    const now = systemClock.monotonic();
    if (error instanceof BusyError) {
      this.#heardAt = now;
      this.#tell(`${error.message}; again in ${Math.round(error.retryAfterMs / 1000)} s`);
      return error.retryAfterMs;
    }
    const isAway = error instanceof UnreachableError && this.#heardAt !== undefined && now - this.#heardAt < AWAY_MS;
    if (!isAway) throw error;
    if (!this.#isAway) this.#tell("the service does not answer; waiting for it");
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
