import type { Config } from "../config/schema.ts";
import { ClockTrust } from "../maintenance/clock-trust.ts";
import { type Pruned, Retention } from "../maintenance/retention.ts";
import type { PeriodicTask } from "../std/clock.ts";
import type { Foundation } from "./foundation.ts";

const DAY_MS = 86_400_000;
const EVERY_MS = 60_000;
/** The first seconds of a process belong to waiting tasks. */
const FIRST_MS = 5000;

/** The periodic task that deletes rows past their retention. */
export async function retentionTask(
  config: Pick<Config, "queue" | "ledger" | "dlq">,
  { stores, clock, log, metrics }: Foundation,
): Promise<PeriodicTask> {
  const trust = new ClockTrust(clock, await stores.queue.retention.clockTrustedAt());
  const pruned = new Map<Pruned, number>();
  const retention = new Retention({
    queue: stores.queue,
    ledger: stores.ledger,
    deadLetters: stores.deadLetters,
    makeDurable: () => stores.makeDurable(),
    limits: {
      queueJobsMs: config.queue.retention.completed_days * DAY_MS,
      ledgerJobsMs: config.ledger.retention_days_jobs * DAY_MS,
      logsMs: config.ledger.retention_days_logs * DAY_MS,
      keysMs: config.ledger.retention_days_idempotency * DAY_MS,
      deadLettersMs: config.dlq.retention_days * DAY_MS,
      deadLetterBytesMax: config.dlq.max_size_gb * 1e9,
    },
    trust,
    clock,
    onPruned: (what, count) => {
      if (count === 0) return;
      metrics.pruned(what, count);
      pruned.set(what, (pruned.get(what) ?? 0) + count);
    },
    onOverSize: (bytes) => {
      const limit = config.dlq.max_size_gb * 1e9;
      log.warn(
        { bytes, limit },
        "dlq.db is over dlq.max_size_gb: the oldest dead letters are deleted before dlq.retention_days",
      );
    },
  });
  let wasTrusted = true;
  return {
    everyMs: EVERY_MS,
    firstMs: FIRST_MS,
    async run(signal) {
      if (wasTrusted !== trust.isTrusted) {
        wasTrusted = trust.isTrusted;
        const leap_seconds = Math.round(trust.leapMs / 1000);
        if (wasTrusted) log.info("the clock was even for ten minutes: retention continues");
        else log.warn({ leap_seconds }, "the clock leapt, or the service was stopped: retention waits for ten minutes");
      }
      try {
        await retention.run(signal);
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error }, "retention stopped early; it continues in a minute");
      }
      if (pruned.size > 0) log.info(Object.fromEntries(pruned), "deleted rows past their retention");
      pruned.clear();
    },
  };
}
