import { Failure } from "../jobs/failure.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { NewJob, StagedJob } from "../jobs/stores/acceptor.ts";
import { IdempotencyTakenError, QueueFullError } from "../jobs/stores/acceptor.ts";
import type { QueueParts } from "../jobs/stores/queue-parts.ts";
import { isBroken, isDiskFull } from "../jobs/stores/store-error.ts";
import type { Task } from "../jobs/task.ts";
import { delay } from "../std/clock.ts";
import type { HandlerRunner } from "./handlers/handler.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { IntakeError } from "./intake-error.ts";
import { type JobPlan, type PlanDeps, planJob, type RegisteredHandler, tasksOf } from "./job-plan.ts";
import type { JobStorage } from "./job-storage.ts";
import type { ParsedManifest } from "./manifest/manifest.ts";
import { type Command, encodeStoredManifest } from "./manifest/stored-manifest.ts";
import type { Submission, SubmissionAnswer, Submit } from "./submission.ts";

interface SubmitDeps extends PlanDeps {
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  readonly queue: Pick<QueueParts, "acceptor" | "control">;
  readonly store: Pick<ObjectStore, "put" | "remove" | "urlOf">;
  /** `queue.max_pending_tasks`. */
  readonly pendingMax: number;
  readonly isDraining: () => boolean;
  /** The reason to refuse jobs now, beside draining; `undefined` while the service accepts jobs. */
  readonly refusal: () => IntakeError | undefined;
  readonly onAccepted: (job: NewJob, tasks: number) => void;
  /** The command that accepts the job; absent in the service. */
  readonly command?: Command | undefined;
  /** Ends the waiting for the storage when the process must end. */
  readonly signal: AbortSignal;
}

/** Most tasks in one commit; a job with more tasks is staged in several commits. */
const TASKS_PER_COMMIT = 1000;
const STORE_TRIES = 3;
const STORE_RETRY_MS = 200;
/** Limit for all tries together, because a client waits for them. */
const STORE_DEADLINE_MS = 10_000;

/** Creates the function that accepts jobs: it validates, expands, stores the manifest and queues the tasks durably. */
export function createSubmit(deps: SubmitDeps): Submit {
  const keys = new IdempotencyKeys(deps.queue.acceptor);
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
  registered: RegisteredHandler,
  fingerprint: Uint8Array | undefined,
  deps: SubmitDeps,
): Promise<SubmissionAnswer["body"]> {
  await refuseFullQueue(deps);
  const plan = planJob(submission, registered.settings, deps);
  const { job, parsed, storage } = plan;
  const { tasks, staged } = await stageTasks(plan, registered.handler, deps);
  const count = tasks.length + (staged?.total ?? 0);
  const answer = { job_id: job.jobId, status: "queued", manifest_key: job.manifestUrl, resource_count: count } as const;
  const key = submission.idempotencyKey;
  try {
    await storeManifest(parsed, job, storage, deps);
    await deps.queue.acceptor.accept({
      job,
      tasks,
      staged,
      pendingMax: deps.pendingMax,
      ...(key !== undefined &&
        fingerprint !== undefined && { idempotency: { key, fingerprint, answer: JSON.stringify(answer) } }),
    });
  } catch (error) {
    // After a failed fsync the job may exist at the next start, and then needs its manifest.
    if (!isBroken(error)) await takeBack(job, staged, storage, deps);
    throw intakeErrorOf(error);
  }
  deps.onAccepted(job, count);
  return answer;
}

/** Removes a job that was not accepted. The next start removes parts that remain, or they are harmless. */
async function takeBack(
  job: NewJob,
  staged: StagedJob | undefined,
  storage: JobStorage,
  deps: SubmitDeps,
): Promise<void> {
  if (staged !== undefined) await deps.queue.acceptor.unstage(staged).catch(() => {});
  // With a shared prefix the key may belong to another job by now.
  if (storage.manifest.key.includes(job.jobId)) await deps.store.remove(storage.manifest, deps.signal).catch(() => {});
}

async function refuseFullQueue({ queue, pendingMax }: SubmitDeps): Promise<void> {
  const { pending, running, retrying } = await queue.control.depth();
  if (pending + running + retrying >= pendingMax) throw queueFull();
}

/** The handler's tasks. Those that exceed one commit are staged. */
async function stageTasks(
  plan: JobPlan,
  handler: HandlerRunner,
  deps: SubmitDeps,
): Promise<{ tasks: Task[]; staged: StagedJob | undefined }> {
  let tasks: Task[] = [];
  let staged: StagedJob | undefined;
  try {
    for await (const batch of tasksOf(plan, handler, deps)) {
      if (tasks.length > 0 && tasks.length + batch.length > TASKS_PER_COMMIT) {
        staged = await deps.queue.acceptor.stage(plan.job, tasks, staged);
        tasks = [];
      }
      tasks = tasks.length === 0 ? batch : tasks.concat(batch);
      if (tasks.length + (staged?.total ?? 0) > deps.pendingMax) throw tooManyTasks(deps.pendingMax);
    }
    return { tasks, staged };
  } catch (error) {
    if (staged !== undefined) await deps.queue.acceptor.unstage(staged).catch(() => {}); // the next start removes staged tasks
    throw intakeErrorOf(error);
  }
}

async function storeManifest(
  parsed: ParsedManifest,
  job: NewJob,
  storage: JobStorage,
  { store, clock, command, signal }: SubmitDeps,
): Promise<void> {
  const body = encodeStoredManifest(parsed, { ...job, command });
  const deadline = new AbortController();
  const timer = clock.after(STORE_DEADLINE_MS, () => {
    deadline.abort(
      new Failure("UPLOAD_TIMEOUT", `the storage did not take the manifest within ${STORE_DEADLINE_MS} ms`),
    );
  });
  const either = AbortSignal.any([signal, deadline.signal]);
  const options = { contentType: "application/json", labels: { job: job.jobId }, jobType: job.jobType, signal: either };
  try {
    for (let tries = 1; ; tries++) {
      try {
        await store.put(storage.manifest, body, options);
        return;
      } catch (error) {
        const isAgain = error instanceof Failure && isRefusedByStorage(error) && !either.aborted;
        if (!isAgain || tries === STORE_TRIES) throw error;
        await delay(clock, STORE_RETRY_MS * tries, either);
      }
    }
  } finally {
    timer.cancel();
  }
}

/** True if the storage refuses the manifest for a reason that the client cannot change. */
function isRefusedByStorage(failure: Failure): boolean {
  return failure.class === "unavailable" || failure.class === "rejected";
}

/** The client's error for a failure on our side. */
function intakeErrorOf(error: unknown): unknown {
  if (error instanceof QueueFullError) return queueFull(error);
  if (error instanceof IdempotencyTakenError) {
    return new IntakeError(
      "IDEMPOTENCY_IN_PROGRESS",
      "another submission with this idempotency key was just accepted",
      {
        cause: error,
      },
    );
  }
  if (isDiskFull(error)) return diskFull(error);
  if (error instanceof Failure) {
    if (error.code === "UPLOAD_DISK_FULL") return diskFull(error);
    if (isRefusedByStorage(error)) {
      const message = "the storage did not accept the manifest; try again later";
      return new IntakeError("STORAGE_UNAVAILABLE", message, { cause: error });
    }
    // No retry can succeed with this key: for example, it is a folder of another object.
    return new IntakeError("INVALID_PAYLOAD", "the manifest cannot be stored under its key", {
      details: [{ path: "/storage", message: error.message }],
      cause: error,
    });
  }
  return error;
}

function queueFull(cause?: unknown): IntakeError {
  return new IntakeError("QUEUE_FULL", "the queue is full; try again later", { cause });
}

/** An empty queue could not take the job either. */
function tooManyTasks(pendingMax: number): IntakeError {
  const limit = `queue.max_pending_tasks is ${pendingMax}`;
  return new IntakeError(
    "QUEUE_FULL",
    `the job has more tasks than the queue ever holds (${limit}); split the manifest`,
  );
}

function diskFull(cause: unknown): IntakeError {
  return new IntakeError("DISK_FULL", "the disk is full; the job was not accepted", { cause });
}
