import type { Config } from "../config/schema.ts";
import { IntakeError } from "../intake/intake-error.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { Submit } from "../intake/submission.ts";
import { createSubmit } from "../intake/submit.ts";
import { Failure } from "../jobs/failure.ts";
import { newJobId } from "../jobs/job.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import { NO_TASK } from "../jobs/stores/orphan-records.ts";
import type { Stores } from "../jobs/stores/service-stores.ts";
import type { BucketHealth } from "../storage/bucket-health.ts";
import type { Foundation } from "./foundation.ts";
import { manifestLimits } from "./load-handlers.ts";

interface IntakeDeps {
  readonly buckets: Pick<BucketHealth, "close">;
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  readonly isDraining: () => boolean;
  /** Called with the number of tasks that were accepted. */
  readonly onTasks: (tasks: number) => void;
}

/** The function that turns a submission into a durable job. */
export function createIntake(
  config: Config,
  foundation: Foundation,
  { buckets, handlers, isDraining, onTasks }: IntakeDeps,
): Submit {
  const { log, clock, metrics, store, stores, policy, command, stopping } = foundation;
  return createSubmit({
    handlers,
    limits: manifestLimits(config, policy, store),
    queue: stores.queue,
    store: manifestStore(foundation, buckets),
    bucket: config.storage.bucket,
    newJobId: () => newJobId(config.server.instance),
    pendingMax: config.queue.max_pending_tasks,
    clock,
    command,
    isDraining,
    refusal: () => refusalOf(stores),
    onAccepted: (job, tasks) => {
      metrics.jobAccepted(job.jobType);
      onTasks(tasks);
      log.info({ job_id: job.jobId, trace_id: job.traceId, job_type: job.jobType, tasks }, "job accepted");
    },
    signal: stopping.signal,
  });
}

/**
 * The storage of manifests. It closes its bucket when it has no room for a manifest: it has none for objects either. No
 * task remembers an upload by which it probes the server, so that one has a record of its own.
 */
function manifestStore(
  { store, stores, keys }: Pick<Foundation, "store" | "stores" | "keys">,
  buckets: Pick<BucketHealth, "close">,
): Pick<ObjectStore, "put" | "remove" | "urlOf"> {
  const { orphans } = stores.queue;
  return {
    async put(ref, body, options) {
      const releaseKey = keys.hold(ref);
      const onProbe = async (isOpen: boolean) => {
        if (isOpen) await orphans.add({ ...ref, task: NO_TASK, kind: "upload", name: "" });
      };
      try {
        return await store.put(ref, body, { ...options, onProbe });
      } catch (error) {
        if (error instanceof Failure && error.code === "UPLOAD_DISK_FULL") buckets.close(ref.bucket, error);
        throw error;
      } finally {
        releaseKey();
      }
    },
    remove: (ref, signal) => store.remove(ref, signal),
    urlOf: (ref) => store.urlOf(ref),
  };
}

function refusalOf(stores: Pick<Stores, "refusal">): IntakeError | undefined {
  const refusal = stores.refusal();
  if (refusal === undefined) return undefined;
  const { isDiskFull, message, cause } = refusal;
  return new IntakeError(isDiskFull ? "DISK_FULL" : "STORAGE_UNAVAILABLE", message, { cause });
}
