import type { Stores } from "../../jobs/stores/service-stores.ts";
import type { PeriodicTask } from "../../std/clock.ts";
import type { RateHistory } from "../../telemetry/rates/rate-history.ts";
import type { ActiveDownloads } from "../../worker/download/active-downloads.ts";
import { shownDepth } from "../shown-depth.ts";

/** Less than half of the shortest step, so that each step has a sample. */
const EVERY_MS = 2000;

interface SamplingDeps {
  readonly history: RateHistory;
  readonly stores: Pick<Stores, "queue" | "deadLetters">;
  readonly active: ActiveDownloads;
}

/** The periodic task that samples the figures of the history. */
export function rateSamplingTask({ history, stores, active }: SamplingDeps): PeriodicTask {
  return {
    everyMs: EVERY_MS,
    firstMs: 0,
    async run() {
      try {
        const [depth, deadLetters] = await Promise.all([
          shownDepth(stores.queue.control, active),
          stores.deadLetters.size(),
        ]);
        history.sample({ ...depth, busy: active.count, dead_letters: deadLetters });
      } catch {
        // A store that cannot be read reports that elsewhere; the step stays unknown.
      }
    },
  };
}
