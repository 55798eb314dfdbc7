import type { Clock } from "../../std/clock.ts";

/** Figures whose events are added up in each step. */
export const SUMS = ["completed", "failed", "retried", "accepted", "bytes"] as const;
type Sum = (typeof SUMS)[number];

/** Figures that show the last value of each step. */
export const LEVELS = ["pending", "running", "retrying", "busy", "dead_letters"] as const;
type Level = (typeof LEVELS)[number];

/** The windows of the history, each with its number of steps. */
const WINDOWS = {
  "15m": { stepSeconds: 5, steps: 180 },
  "1h": { stepSeconds: 10, steps: 360 },
  "24h": { stepSeconds: 60, steps: 1440 },
} as const;
export type RateWindow = keyof typeof WINDOWS;
export const RATE_WINDOWS = Object.keys(WINDOWS) as RateWindow[];

/** The length of the recent sums, in seconds. */
export const RECENT_SECONDS = 60;

/** The figures of the completed steps of one window; null for a step without a sample. */
interface RateSeries {
  readonly stepSeconds: (typeof WINDOWS)[RateWindow]["stepSeconds"];
  /** Milliseconds since the epoch, by the wall clock. */
  readonly from: number;
  readonly to: number;
  readonly series: Readonly<Record<Sum | Level, (number | null)[]>>;
}

/**
 * The figures of the service over the last day. Its memory is fixed: one ring of numbers for each figure and window. A
 * start begins a new history.
 */
export class RateHistory {
  readonly #clock: Pick<Clock, "now" | "steady">;
  readonly #recent = new Ring(1000, RECENT_SECONDS);
  readonly #rings: Readonly<Record<RateWindow, Ring>>;
  readonly #all: readonly Ring[];
  readonly #bytesReceived: () => number;
  #bytesNoted = 0;

  /** `bytesReceived` returns the bytes of all downloads so far, those that still run included. */
  constructor(clock: Pick<Clock, "now" | "steady">, bytesReceived: () => number) {
    this.#clock = clock;
    this.#bytesReceived = bytesReceived;
    const ring = (window: RateWindow) => new Ring(WINDOWS[window].stepSeconds * 1000, WINDOWS[window].steps);
    this.#rings = { "15m": ring("15m"), "1h": ring("1h"), "24h": ring("24h") };
    this.#all = [this.#recent, ...Object.values(this.#rings)];
  }

  /** Counts events. */
  add(name: Exclude<Sum, "bytes">, by = 1): void {
    const now = this.#clock.steady();
    for (const ring of this.#all) ring.add(name, by, now);
  }

  /** Notes the present values. Steps without a sample stay unknown. */
  sample(levels: Readonly<Record<Level, number>>): void {
    this.#noteBytes();
    const now = this.#clock.steady();
    for (const ring of this.#all) ring.sample(levels, now);
  }

  /** The sums of the last `RECENT_SECONDS`. */
  recent(): Readonly<Record<Sum, number>> {
    this.#noteBytes();
    const now = this.#clock.steady();
    const total = (name: Sum) => this.#recent.last(name, now + 1000).reduce<number>((sum, n) => sum + (n ?? 0), 0);
    return {
      completed: total("completed"),
      failed: total("failed"),
      retried: total("retried"),
      accepted: total("accepted"),
      bytes: total("bytes"),
    };
  }

  /** The completed steps of a window, the oldest first. */
  read(window: RateWindow): RateSeries {
    const { stepSeconds, steps } = WINDOWS[window];
    const ring = this.#rings[window];
    const now = this.#clock.steady();
    const stepMs = stepSeconds * 1000;
    // The steps follow the steady clock; a client compares them with its wall clock.
    const to = Math.floor(now / stepMs) * stepMs + this.#clock.now() - now;
    const series = (name: Sum | Level) => ring.last(name, now);
    return {
      stepSeconds,
      from: to - steps * stepMs,
      to,
      series: {
        completed: series("completed"),
        failed: series("failed"),
        retried: series("retried"),
        accepted: series("accepted"),
        bytes: series("bytes"),
        pending: series("pending"),
        running: series("running"),
        retrying: series("retrying"),
        busy: series("busy"),
        dead_letters: series("dead_letters"),
      },
    };
  }

  /** Counts the bytes that came since the last sample or read. */
  #noteBytes(): void {
    const [now, received] = [this.#clock.steady(), this.#bytesReceived()];
    if (received === this.#bytesNoted) return;
    for (const ring of this.#all) ring.add("bytes", received - this.#bytesNoted, now);
    this.#bytesNoted = received;
  }
}

const NAMES = [...SUMS, ...LEVELS];

/** The figures of the last steps of one length. */
class Ring {
  readonly #stepMs: number;
  readonly #steps: number;
  /** One place more than steps, for the step that has not ended; NaN where a figure is unknown. */
  readonly #values: ReadonlyMap<Sum | Level, Float64Array>;
  #latest: number | undefined;

  constructor(stepMs: number, steps: number) {
    this.#stepMs = stepMs;
    this.#steps = steps;
    this.#values = new Map(NAMES.map((name) => [name, new Float64Array(steps + 1).fill(Number.NaN)]));
  }

  add(name: Sum, by: number, now: number): void {
    const place = this.#place(now);
    const values = this.#of(name);
    const before = values[place];
    values[place] = before === undefined || Number.isNaN(before) ? by : before + by;
  }

  sample(levels: Readonly<Record<Level, number>>, now: number): void {
    for (const name of SUMS) this.add(name, 0, now);
    const place = this.#place(now);
    for (const name of LEVELS) this.#of(name)[place] = levels[name];
  }

  /** The values of the steps that have ended at `now`, the oldest first. */
  last(name: Sum | Level, now: number): (number | null)[] {
    const end = Math.floor(now / this.#stepMs);
    const values = this.#of(name);
    return Array.from({ length: this.#steps }, (_, at) => {
      const step = end - this.#steps + at;
      if (this.#latest === undefined || step > this.#latest || step < this.#latest - this.#steps) return null;
      const value = values[step % values.length];
      return value === undefined || Number.isNaN(value) ? null : value;
    });
  }

  /** The place of the present step. It forgets the steps that the ring has no room for. */
  #place(now: number): number {
    const step = Math.floor(now / this.#stepMs);
    const size = this.#steps + 1;
    if (this.#latest === undefined || step - this.#latest >= size) {
      for (const values of this.#values.values()) values.fill(Number.NaN);
    } else {
      for (let next = this.#latest + 1; next <= step; next++) {
        for (const values of this.#values.values()) values[next % size] = Number.NaN;
      }
    }
    this.#latest = Math.max(step, this.#latest ?? 0);
    return step % size;
  }

  #of(name: Sum | Level): Float64Array {
    const values = this.#values.get(name);
    if (values === undefined) throw new Error(`the history has no figure ${name}`);
    return values;
  }
}
