import { Failure } from "../../jobs/failure.ts";
import type { Clock } from "../../std/clock.ts";

export interface BodyPace {
  /** Longest silence. */
  readonly idleTimeoutMs: number;
  /** Least average speed; 0 = any. */
  readonly minBytesPerSecond: number;
}

/** Speed is an average over so long. */
const SPEED_WINDOW_MS = 30_000;

/**
 * Ends a body whose host is silent or too slow. While it is paused nothing counts: then it is us who are slow. What is
 * called for every chunk only notes the time; the one timer looks when it goes off.
 */
export class BodyWatch {
  readonly #clock: Clock;
  readonly #pace: BodyPace;
  readonly #onFailure: (failure: Failure) => void;
  #bytes = 0;
  #lastAt: number;
  #pausedAt: number | undefined;
  /** The timer went off in a pause. */
  #isDue = false;
  /** Moves on with every pause, so that the time since then is the host's alone. */
  #windowAt: number;
  #windowBytes = 0;
  #timer: { cancel(): void };

  /** `onFailure` is called at most once, with DOWNLOAD_TIMEOUT or DOWNLOAD_TOO_SLOW. */
  constructor(clock: Clock, pace: BodyPace, onFailure: (failure: Failure) => void) {
    this.#clock = clock;
    this.#pace = pace;
    this.#onFailure = onFailure;
    this.#lastAt = clock.monotonic();
    this.#windowAt = this.#lastAt;
    this.#timer = this.#arm(this.#msUntilNextLook(this.#lastAt));
  }

  /** Bytes received in all. */
  received(bytes: number): void {
    this.#bytes = bytes;
    this.#lastAt = this.#clock.monotonic();
  }

  /** We are busy with what we have; idempotent. */
  pause(): void {
    this.#pausedAt ??= this.#clock.monotonic();
  }

  resume(): void {
    if (this.#pausedAt === undefined) return;
    this.#lastAt = this.#clock.monotonic();
    this.#windowAt += this.#lastAt - this.#pausedAt;
    this.#pausedAt = undefined;
    if (!this.#isDue) return;
    this.#isDue = false;
    this.#timer = this.#arm(this.#msUntilNextLook(this.#lastAt));
  }

  /** Idempotent. */
  stop(): void {
    this.#isDue = false;
    this.#timer.cancel();
  }

  #look(): void {
    if (this.#pausedAt !== undefined) {
      this.#isDue = true;
      return;
    }
    const now = this.#clock.monotonic();
    const failure = this.#silence(now) ?? this.#slowness(now);
    if (failure === undefined) this.#timer = this.#arm(this.#msUntilNextLook(now));
    else this.#onFailure(failure);
  }

  #silence(now: number): Failure | undefined {
    const { idleTimeoutMs } = this.#pace;
    if (now - this.#lastAt < idleTimeoutMs) return undefined;
    return new Failure("DOWNLOAD_TIMEOUT", `no byte for ${idleTimeoutMs} ms`);
  }

  #slowness(now: number): Failure | undefined {
    const elapsedMs = now - this.#windowAt;
    const { minBytesPerSecond } = this.#pace;
    if (minBytesPerSecond === 0 || elapsedMs < SPEED_WINDOW_MS) return undefined;
    const perSecond = Math.floor(((this.#bytes - this.#windowBytes) * 1000) / elapsedMs);
    this.#windowAt = now;
    this.#windowBytes = this.#bytes;
    if (perSecond >= minBytesPerSecond) return undefined;
    const seconds = Math.round(elapsedMs / 1000);
    return new Failure(
      "DOWNLOAD_TOO_SLOW",
      `${perSecond} bytes per second over ${seconds} s, at least ${minBytesPerSecond} are wanted`,
    );
  }

  #msUntilNextLook(now: number): number {
    const silentAt = this.#lastAt + this.#pace.idleTimeoutMs;
    const next = this.#pace.minBytesPerSecond === 0 ? silentAt : Math.min(silentAt, this.#windowAt + SPEED_WINDOW_MS);
    return Math.max(1, next - now);
  }

  #arm(ms: number): { cancel(): void } {
    return this.#clock.after(ms, () => this.#look());
  }
}
