import type { Clock } from "../../std/clock.ts";
import { BoundedMap } from "../../std/collections/bounded-map.ts";
import { RecentRate } from "../recent-rate.ts";

const WINDOW_SECONDS = 60;
const JOBS_MAX = 1000;

/** The speed of a job, per second. */
export interface JobSpeed {
  readonly stored: number;
  /** Tasks that ended: stored, failed permanently or cancelled. */
  readonly ended: number;
}

interface Rates {
  readonly stored: RecentRate;
  readonly ended: RecentRate;
}

/** The recent rates of the jobs that run. It keeps a limited number of jobs: those that began to run last. */
export class JobRates {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #jobs = new BoundedMap<number, Rates>(JOBS_MAX);

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Notes that a task of a job ended. */
  note(job: number, isStored: boolean): void {
    let rates = this.#jobs.get(job);
    if (rates === undefined) {
      rates = {
        stored: new RecentRate(this.#clock, WINDOW_SECONDS),
        ended: new RecentRate(this.#clock, WINDOW_SECONDS),
      };
      this.#jobs.set(job, rates);
    }
    rates.ended.note();
    if (isStored) rates.stored.note();
  }

  /** The speed of a job; `undefined` if none of its tasks ended lately. */
  speedOf(job: number): JobSpeed | undefined {
    const rates = this.#jobs.get(job);
    const ended = rates?.ended.perSecond() ?? 0;
    return rates === undefined || ended === 0 ? undefined : { stored: rates.stored.perSecond(), ended };
  }

  /** Forgets a job that has ended. */
  forget(job: number): void {
    this.#jobs.delete(job);
  }
}
