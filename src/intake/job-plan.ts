import type { ObjectStore } from "../jobs/object-store.ts";
import type { NewJob } from "../jobs/stores/acceptor.ts";
import type { Task, TaskSpec } from "../jobs/task.ts";
import type { Clock } from "../std/clock.ts";
import { createExpansion } from "./expand.ts";
import { HandlerBusyError } from "./handlers/file-handler.ts";
import { type HandlerRunner, type HandlerSettings, type JobContext, ManifestError } from "./handlers/handler.ts";
import { IntakeError } from "./intake-error.ts";
import { type JobStorage, jobStorage } from "./job-storage.ts";
import { type ParsedManifest, parseManifest } from "./manifest/manifest.ts";
import type { ManifestLimits } from "./manifest/manifest-rules.ts";
import type { Submission } from "./submission.ts";

export interface RegisteredHandler {
  readonly handler: HandlerRunner;
  readonly settings: HandlerSettings;
}

export interface PlanDeps {
  readonly limits: ManifestLimits;
  /** `storage.bucket`. */
  readonly bucket: string;
  readonly store: Pick<ObjectStore, "urlOf">;
  readonly newJobId: () => string;
  readonly clock: Clock;
}

/** The job that a submission becomes, before any part is stored. */
export interface JobPlan {
  readonly job: NewJob;
  readonly parsed: ParsedManifest;
  readonly storage: JobStorage;
  readonly context: JobContext;
}

/** Checks the manifest, and chooses the id and the keys of the job. @throws IntakeError */
export function planJob(submission: Submission, settings: HandlerSettings, deps: PlanDeps): JobPlan {
  const parsed = parseManifest(submission.body, deps.limits);
  const jobId = deps.newJobId();
  const storage = jobStorage(parsed.manifest, {
    jobId,
    jobType: submission.jobType,
    bucket: settings.bucket ?? deps.bucket,
  });
  const job: NewJob = {
    jobId,
    jobType: submission.jobType,
    tenant: submission.tenant,
    priority: parsed.manifest.attributes?.priority ?? "normal",
    ...submission.trace,
    manifestUrl: deps.store.urlOf(storage.manifest),
    createdAt: deps.clock.now(),
  };
  return { job, parsed, storage, context: { ...job, storage, handler: settings } };
}

/** The tasks that the handler makes of the manifest, in lazy batches; at least one task. @throws IntakeError */
export async function* tasksOf(
  { parsed, context }: JobPlan,
  handler: HandlerRunner,
  deps: PlanDeps,
): AsyncGenerator<Task[], void> {
  const expansion = createExpansion(context, deps);
  const taskOf = (spec: unknown) => (handler.isOwn ? expansion.place(spec as TaskSpec) : expansion.resolve(spec));
  let count = 0;
  try {
    for await (const specs of handler.tasks(parsed.manifest, context)) {
      count += specs.length;
      yield specs.map(taskOf);
    }
  } catch (error) {
    throw handlerError(error);
  }
  if (count === 0) throw new IntakeError("HANDLER_ERROR", "the handler made no tasks of this manifest");
}

function handlerError(error: unknown): unknown {
  if (isManifestError(error)) {
    return new IntakeError("INVALID_PAYLOAD", error.message, { details: error.details, cause: error });
  }
  if (error instanceof IntakeError) return error;
  // The handler has not seen the job yet, so the client may repeat the request.
  if (error instanceof HandlerBusyError) return new IntakeError("QUEUE_FULL", error.message, { cause: error });
  return new IntakeError("HANDLER_ERROR", "the job's handler failed", { cause: error });
}

/** Checks the name, because a handler file cannot import our class and throws an error of its own. */
function isManifestError(error: unknown): error is ManifestError {
  if (error instanceof ManifestError) return true;
  if (!(error instanceof Error) || error.name !== "ManifestError") return false;
  const { details = [] } = error as { details?: unknown };
  return (
    Array.isArray(details) &&
    details.every((violation) => typeof violation?.path === "string" && typeof violation.message === "string")
  );
}
