import type { Config } from "../config/schema.ts";
import { IntakeError } from "../intake/intake-error.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { Submit } from "../intake/submission.ts";
import { createSubmit } from "../intake/submit.ts";
import { Failure } from "../jobs/failure.ts";
import { newJobId } from "../jobs/job.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import { isDiskFull } from "../jobs/stores/store-error.ts";
import type { Stores } from "../sqlite/stores.ts";
import type { BucketHealth } from "../storage/bucket-health.ts";
import type { Foundation } from "./foundation.ts";
import { manifestLimits } from "./load-handlers.ts";

interface IntakeDeps {
  readonly buckets: Pick<BucketHealth, "close">;
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  readonly isDraining: () => boolean;
}

/** The function that turns a submission into a durable job. */
export function createIntake(
  config: Config,
  { log, clock, metrics, store, stores, policy, command, stopping }: Foundation,
  { buckets, handlers, isDraining }: IntakeDeps,
): Submit {
  return createSubmit({
    handlers,
    limits: manifestLimits(config, policy, store),
    queue: stores.queue,
    store: closingWhenFull(store, buckets),
    bucket: config.storage.bucket,
    newJobId: () => newJobId(config.server.instance),
    pendingMax: config.queue.max_pending_tasks,
    clock,
    command,
    isDraining,
    refusal: () => refusalOf(stores),
    onAccepted: (job, tasks) => {
      metrics.jobAccepted(job.jobType);
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, tasks }, "job accepted");
    },
    signal: stopping.signal,
  });
}

/** A storage that closes its bucket when it has no room for a manifest: it has none for objects either. */
function closingWhenFull(
  store: ObjectStore,
  buckets: Pick<BucketHealth, "close">,
): Pick<ObjectStore, "put" | "remove" | "urlOf"> {
  return {
    async put(ref, body, options) {
      try {
        return await store.put(ref, body, options);
      } catch (error) {
        if (error instanceof Failure && error.code === "UPLOAD_DISK_FULL") buckets.close(ref.bucket, error);
        throw error;
      }
    },
    remove: (ref, signal) => store.remove(ref, signal),
    urlOf: (ref) => store.urlOf(ref),
  };
}

function refusalOf({ queue, outbox, fileWatch }: Stores): IntakeError | undefined {
  if (!fileWatch.isWhole) {
    const message = "a store was deleted or moved away while it was in use; /operators/health names it";
    return new IntakeError("STORAGE_UNAVAILABLE", message);
  }
  if (queue.gate.heldBy !== undefined) {
    return new IntakeError("DISK_FULL", "the disk is full; jobs are accepted again when it has room", {
      cause: queue.gate.heldBy,
    });
  }
  return outbox.isStuck ? behindError(outbox.lastError) : undefined;
}

/** The error while a projection cannot be written: an accepted job could not be read back. */
function behindError(cause: unknown): IntakeError {
  if (isDiskFull(cause)) return new IntakeError("DISK_FULL", "the disk of ledger.db or dlq.db is full", { cause });
  return new IntakeError("STORAGE_UNAVAILABLE", "ledger.db or dlq.db cannot be written to", { cause });
}
