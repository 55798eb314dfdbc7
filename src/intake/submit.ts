import type { Clock } from "../jobs/clock.ts";
import { delay } from "../jobs/clock.ts";
import { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { Task } from "../jobs/task.ts";
import type { NewJob, StagedJob } from "../sqlite/queue/accept.ts";
import { IdempotencyTakenError, QueueFullError } from "../sqlite/queue/accept.ts";
import type { TaskQueue } from "../sqlite/queue.ts";
import { isBroken, isDiskFull } from "../sqlite/store-error.ts";
import { createExpansion } from "./expand.ts";
import { type HandlerSettings, type JobContext, type JobHandler, ManifestError } from "./handler.ts";
import { inTime, stepsInTime } from "./handler-time.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { IntakeError } from "./intake-error.ts";
import { type JobStorage, jobStorage } from "./job-storage.ts";
import { type ParsedManifest, parseManifest } from "./manifest.ts";
import type { ManifestLimits } from "./manifest-rules.ts";
import type { Manifest } from "./manifest-schema.ts";
import { encodeStoredManifest } from "./stored-manifest.ts";
import type { Submission, SubmissionAnswer, Submit } from "./submission.ts";

export interface RegisteredHandler {
  readonly handler: JobHandler;
  readonly settings: HandlerSettings;
}

export interface SubmitDeps {
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  readonly limits: ManifestLimits;
  readonly queue: TaskQueue;
  readonly store: ObjectStore;
  /** `storage.bucket`. */
  readonly bucket: string;
  readonly newJobId: () => string;
  /** `queue.max_pending_tasks`. */
  readonly pendingMax: number;
  readonly clock: Clock;
  readonly isDraining: () => boolean;
  /** Why no job can be taken now, other than that; nothing while one can. */
  readonly refusal: () => IntakeError | undefined;
  readonly onAccepted: (job: NewJob, tasks: number) => void;
  /** Ends waits for the storage when the process must end. */
  readonly signal: AbortSignal;
}

/** Tasks that one commit takes; a job with more is staged in several. */
const TASKS_PER_COMMIT = 1000;
const STORE_TRIES = 3;
const STORE_RETRY_MS = 200;
/** All tries together: a client waits for that. */
const STORE_DEADLINE_MS = 10_000;

/** Accepts jobs: validate, expand, store the manifest, queue the tasks durably. */
export function createSubmit(deps: SubmitDeps): Submit {
  const keys = new IdempotencyKeys(deps.queue);
  return async (submission) => {
    if (deps.isDraining()) throw new IntakeError("SHUTTING_DOWN", "the service is shutting down");
    const refusal = deps.refusal();
    if (refusal !== undefined) throw refusal;
    const registered = deps.handlers.get(submission.jobType);
    if (registered === undefined) {
      throw new IntakeError("UNSUPPORTED_JOB_TYPE", "no handler is configured for this job type");
    }
    return keys.once(submission, (fingerprint) => accept(submission, registered, fingerprint, deps));
  };
}

async function accept(
  submission: Submission,
  { handler, settings }: RegisteredHandler,
  fingerprint: Uint8Array | undefined,
  deps: SubmitDeps,
): Promise<SubmissionAnswer["body"]> {
  refuseFullQueue(deps);
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
    traceId: submission.traceId,
    manifestUrl: deps.store.urlOf(storage.manifest),
    createdAt: deps.clock.now(),
  };
  const context: JobContext = { ...job, storage, handler: settings };
  const manifest = await prepare(handler, parsed.manifest, context, deps);
  const { tasks, staged } = await expand(handler, manifest, context, job, deps);
  const count = tasks.length + (staged?.total ?? 0);
  const answer = { job_id: jobId, status: "queued", manifest_key: job.manifestUrl, resource_count: count } as const;
  const key = submission.idempotencyKey;
  try {
    await storeManifest(parsed, job, storage, deps);
    await deps.queue.accept({
      job,
      tasks,
      staged,
      pendingMax: deps.pendingMax,
      ...(key !== undefined &&
        fingerprint !== undefined && { idempotency: { key, fingerprint, answer: JSON.stringify(answer) } }),
    });
  } catch (error) {
    // Where nobody knows what is on the disk the job may be there at the next start, and then needs its manifest.
    if (!isBroken(error)) await takeBack(job, staged, storage, deps);
    throw intakeErrorOf(error);
  }
  deps.onAccepted(job, count);
  return answer;
}

/** Leaves nothing of a job that was not accepted. What cannot be removed now is swept at start, or harms nobody. */
async function takeBack(
  job: NewJob,
  staged: StagedJob | undefined,
  storage: JobStorage,
  deps: SubmitDeps,
): Promise<void> {
  if (staged !== undefined) await deps.queue.unstage(staged).catch(() => {});
  // Under a shared prefix it may by now be another job's.
  if (storage.manifest.key.includes(job.jobId)) await deps.store.remove(storage.manifest, deps.signal).catch(() => {});
}

function refuseFullQueue({ queue, pendingMax }: SubmitDeps): void {
  const { pending, running, retrying } = queue.depth();
  if (pending + running + retrying >= pendingMax) throw queueFull();
}

async function prepare(
  handler: JobHandler,
  manifest: Manifest,
  context: JobContext,
  { clock }: SubmitDeps,
): Promise<Manifest> {
  try {
    return await inTime(handler.prepare(manifest, context), clock);
  } catch (error) {
    throw handlerError(error);
  }
}

/** The handler's tasks; what is more than one commit takes is staged. */
async function expand(
  handler: JobHandler,
  manifest: Manifest,
  context: JobContext,
  job: NewJob,
  deps: SubmitDeps,
): Promise<{ tasks: Task[]; staged: StagedJob | undefined }> {
  const expansion = createExpansion(context, deps);
  let tasks: Task[] = [];
  let staged: StagedJob | undefined;
  try {
    for await (const spec of stepsInTime(handler.buildTasks(manifest, context), deps.clock)) {
      if (tasks.length === TASKS_PER_COMMIT) {
        staged = await deps.queue.stage(job, tasks, staged);
        tasks = [];
      }
      tasks.push(expansion.resolve(spec));
    }
    if (tasks.length === 0) throw new IntakeError("HANDLER_ERROR", "the handler made no task of this manifest");
    return { tasks, staged };
  } catch (error) {
    if (staged !== undefined) await deps.queue.unstage(staged).catch(() => {}); // start-up sweeps what stays
    throw handlerError(error);
  }
}

async function storeManifest(
  parsed: ParsedManifest,
  job: NewJob,
  storage: JobStorage,
  { store, clock, signal }: SubmitDeps,
): Promise<void> {
  const body = encodeStoredManifest(parsed, job);
  const deadline = new AbortController();
  const timer = clock.after(STORE_DEADLINE_MS, () => {
    deadline.abort(
      new Failure("UPLOAD_TIMEOUT", `the storage did not take the manifest within ${STORE_DEADLINE_MS} ms`),
    );
  });
  const either = AbortSignal.any([signal, deadline.signal]);
  const options = { contentType: "application/json", labels: { job: job.jobId }, signal: either };
  try {
    for (let tries = 1; ; tries++) {
      try {
        await store.put(storage.manifest, body, options);
        return;
      } catch (error) {
        const isAgain = error instanceof Failure && error.class === "unavailable" && !either.aborted;
        if (!isAgain || tries === STORE_TRIES) throw error;
        await delay(clock, STORE_RETRY_MS * tries, either);
      }
    }
  } finally {
    timer.cancel();
  }
}

function handlerError(error: unknown): unknown {
  if (isManifestError(error)) {
    return new IntakeError("INVALID_PAYLOAD", error.message, { details: error.details, cause: error });
  }
  if (error instanceof IntakeError || isDiskFull(error)) return intakeErrorOf(error);
  return new IntakeError("HANDLER_ERROR", "the job's handler failed", { cause: error });
}

/** By name: a handler in a file of its own has no way to import our class, and throws one alike. */
function isManifestError(error: unknown): error is ManifestError {
  if (error instanceof ManifestError) return true;
  if (!(error instanceof Error) || error.name !== "ManifestError") return false;
  const { details = [] } = error as { details?: unknown };
  return (
    Array.isArray(details) &&
    details.every((breach) => typeof breach?.path === "string" && typeof breach.message === "string")
  );
}

/** What the client hears of trouble on our side. */
function intakeErrorOf(error: unknown): unknown {
  if (error instanceof QueueFullError) return queueFull(error);
  if (error instanceof IdempotencyTakenError) {
    return new IntakeError("IDEMPOTENCY_IN_PROGRESS", "a submission with this key has just been accepted", {
      cause: error,
    });
  }
  if (isDiskFull(error)) return diskFull(error);
  if (error instanceof Failure) {
    if (error.code === "UPLOAD_DISK_FULL") return diskFull(error);
    if (error.class === "unavailable") {
      return new IntakeError("STORAGE_UNAVAILABLE", "the manifest could not be stored", { cause: error });
    }
    // The key cannot be used, whatever is tried: a folder of another object is in the way, say.
    return new IntakeError("INVALID_PAYLOAD", "the manifest cannot be stored under its key", {
      details: [{ path: "/storage", message: error.message }],
      cause: error,
    });
  }
  return error;
}

function queueFull(cause?: unknown): IntakeError {
  return new IntakeError("QUEUE_FULL", "too many tasks are under way; try again later", { cause });
}

function diskFull(cause: unknown): IntakeError {
  return new IntakeError("DISK_FULL", "the disk is full; nothing of the job remains", { cause });
}
