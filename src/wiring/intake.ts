import type { Config } from "../config/schema.ts";
import { IntakeError } from "../intake/intake-error.ts";
import type { Submit } from "../intake/submission.ts";
import { createSubmit, type RegisteredHandler } from "../intake/submit.ts";
import { newJobId } from "../jobs/job.ts";
import { isDiskFull } from "../sqlite/store-error.ts";
import type { Foundation } from "./foundation.ts";
import { allowedBuckets } from "./handlers.ts";

/** What takes a submission and makes a durable job of it. */
export function createIntake(
  config: Config,
  { log, clock, metrics, store, stores, policy, stopping }: Foundation,
  handlers: ReadonlyMap<string, RegisteredHandler>,
  isDraining: () => boolean,
): Submit {
  return createSubmit({
    handlers,
    limits: {
      maxResources: config.api.max_resources_per_manifest,
      buckets: allowedBuckets(config),
      pools: new Set(Object.keys(config.proxies)),
      deniesLiteral: (url) => policy.deniesLiteral(url),
      refusesKey: (key) => store.refuses(key),
    },
    queue: stores.queue,
    store,
    bucket: config.storage.bucket,
    newJobId: () => newJobId(config.server.instance),
    pendingMax: config.queue.max_pending_tasks,
    clock,
    isDraining,
    refusal: () => (stores.outbox.isDelivered ? undefined : behindError(stores.outbox.lastError)),
    onAccepted: (job, tasks) => {
      metrics.jobAccepted(job.jobType);
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, tasks }, "job accepted");
    },
    signal: stopping.signal,
  });
}

/** A job that was accepted now could not be read back: its followers do not take it. */
function behindError(cause: unknown): IntakeError {
  if (isDiskFull(cause)) return new IntakeError("DISK_FULL", "the disk of ledger.db or dlq.db is full", { cause });
  return new IntakeError("STORAGE_UNAVAILABLE", "ledger.db or dlq.db cannot be written to", { cause });
}
