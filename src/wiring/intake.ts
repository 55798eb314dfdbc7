import type { Config } from "../config/schema.ts";
import { IntakeError } from "../intake/intake-error.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { Submit } from "../intake/submission.ts";
import { createSubmit } from "../intake/submit.ts";
import { newJobId } from "../jobs/job.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import { isDiskFull } from "../sqlite/store-error.ts";
import type { Stores } from "../sqlite/stores.ts";
import type { Foundation } from "./foundation.ts";
import { manifestLimits } from "./handlers.ts";
import type { Work } from "./work.ts";

/** What takes a submission and makes a durable job of it. */
export function createIntake(
  config: Config,
  { log, clock, metrics, store, stores, policy, stopping }: Foundation,
  handlers: ReadonlyMap<string, RegisteredHandler>,
  { gate, broker }: Pick<Work, "gate" | "broker">,
  isDraining: () => boolean,
): Submit {
  return createSubmit({
    handlers,
    limits: manifestLimits(config, policy, store),
    queue: stores.queue,
    // A manifest that is stored proves its bucket, as an object does.
    store: noticingPuts(store, (bucket) => gate.stored(bucket) && broker.wake()),
    bucket: config.storage.bucket,
    newJobId: () => newJobId(config.server.instance),
    pendingMax: config.queue.max_pending_tasks,
    clock,
    isDraining,
    refusal: () => refusalOf(stores),
    onAccepted: (job, tasks) => {
      metrics.jobAccepted(job.jobType);
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, tasks }, "job accepted");
    },
    signal: stopping.signal,
  });
}

function noticingPuts(
  store: ObjectStore,
  onPut: (bucket: string) => void,
): Pick<ObjectStore, "put" | "remove" | "urlOf"> {
  return {
    remove: (ref, signal) => store.remove(ref, signal),
    urlOf: (ref) => store.urlOf(ref),
    async put(ref, body, options) {
      const stored = await store.put(ref, body, options);
      onPut(ref.bucket);
      return stored;
    },
  };
}

function refusalOf({ outbox, presence }: Stores): IntakeError | undefined {
  if (!presence.isWhole) {
    const message = "a store was deleted or moved away under the service; /operators/health says which";
    return new IntakeError("STORAGE_UNAVAILABLE", message);
  }
  return outbox.isStuck ? behindError(outbox.lastError) : undefined;
}

/** A job that was accepted now could not be read back: its followers do not take it. */
function behindError(cause: unknown): IntakeError {
  if (isDiskFull(cause)) return new IntakeError("DISK_FULL", "the disk of ledger.db or dlq.db is full", { cause });
  return new IntakeError("STORAGE_UNAVAILABLE", "ledger.db or dlq.db cannot be written to", { cause });
}
