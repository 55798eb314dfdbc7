import { Failure } from "../../jobs/failure.ts";
import type { Clock } from "../../std/clock.ts";
import { numbered } from "../../std/counted.ts";

interface BodySpeed {
  /** Longest silence of the host. */
  readonly idleTimeoutMs: number;
  /** Lowest average speed; 0 = no limit. */
  readonly minBytesPerSecond: number;
}

/** The speed is an average over this time. */
const SPEED_WINDOW_MS = 30_000;

/**
 * Reports a body whose host is silent or too slow. Paused time does not count: then our side is slow. Each chunk only
 * records the time, and a single timer checks it.
 */
export class BodyWatch {
  readonly #clock: Clock;
  readonly #limits: BodySpeed;
  readonly #onFailure: (failure: Failure) => void;
  #bytes = 0;
  #lastAt: number;
  #pausedAt: number | undefined;
  /** The timer fired during a pause. */
  #isDue = false;
  /** Every pause moves it by its own length, so that the time since then is the host's alone. */
  #windowAt: number;
  #windowBytes = 0;
  #timer: { cancel(): void };

  /** `onFailure` is called at most once, with DOWNLOAD_TIMEOUT or DOWNLOAD_TOO_SLOW. */
  constructor(clock: Clock, limits: BodySpeed, onFailure: (failure: Failure) => void) {
    this.#clock = clock;
    this.#limits = limits;
    this.#onFailure = onFailure;
    this.#lastAt = clock.monotonic();
    this.#windowAt = this.#lastAt;
    this.#timer = this.#arm(this.#msUntilNextCheck(this.#lastAt));
  }

  /** Takes the total number of bytes received. */
  received(bytes: number): void {
    this.#bytes = bytes;
    this.#lastAt = this.#clock.monotonic();
  }

  /** Our side is busy; idempotent. */
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
    this.#timer = this.#arm(this.#msUntilNextCheck(this.#lastAt));
  }

  /** Idempotent. */
  stop(): void {
    this.#isDue = false;
    this.#timer.cancel();
  }

  #check(): void {
    if (this.#pausedAt !== undefined) {
      this.#isDue = true;
      return;
    }
    const now = this.#clock.monotonic();
    const failure = this.#silence(now) ?? this.#slowness(now);
    if (failure === undefined) this.#timer = this.#arm(this.#msUntilNextCheck(now));
    else this.#onFailure(failure);
  }

  #silence(now: number): Failure | undefined {
    const { idleTimeoutMs } = this.#limits;
    if (now - this.#lastAt < idleTimeoutMs) return undefined;
    return new Failure("DOWNLOAD_TIMEOUT", `no byte for ${idleTimeoutMs} ms`);
  }

  #slowness(now: number): Failure | undefined {
    const elapsedMs = now - this.#windowAt;
    const { minBytesPerSecond } = this.#limits;
    if (minBytesPerSecond === 0 || elapsedMs < SPEED_WINDOW_MS) return undefined;
    const perSecond = Math.floor(((this.#bytes - this.#windowBytes) * 1000) / elapsedMs);
    this.#windowAt = now;
    this.#windowBytes = this.#bytes;
    if (perSecond >= minBytesPerSecond) return undefined;
    const seconds = Math.round(elapsedMs / 1000);
    return new Failure(
      "DOWNLOAD_TOO_SLOW",
      `${numbered(perSecond, "byte")} per second over ${seconds} s, the minimum is ${minBytesPerSecond}`,
    );
  }

  #msUntilNextCheck(now: number): number {
    const silentAt = this.#lastAt + this.#limits.idleTimeoutMs;
    const next = this.#limits.minBytesPerSecond === 0 ? silentAt : Math.min(silentAt, this.#windowAt + SPEED_WINDOW_MS);
    return Math.max(1, next - now);
  }

  #arm(ms: number): { cancel(): void } {
    return this.#clock.after(ms, () => this.#check());
  }
}
