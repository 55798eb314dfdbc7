import type { JobHeader } from "../job.ts";
import { type Task } from "../task.ts";

export type NewJob = Omit<JobHeader, "seq">;

/** A job whose tasks are being written in several commits; nobody claims them before it is accepted. */
export interface StagedJob {
  readonly seq: number;
  readonly firstTask: number;
  readonly lastTask: number;
  readonly total: number;
}

export interface Acceptance {
  readonly job: NewJob;
  /** The tasks, or the last of them where others are staged. */
  readonly tasks: readonly Task[];
  readonly staged?: StagedJob | undefined;
  readonly idempotency?:
    | { readonly key: string; readonly fingerprint: Uint8Array; readonly answer: string }
    | undefined;
  /** The most tasks that may be under way, this job's included. */
  readonly pendingMax: number;
}

/** The backlog would grow over its limit. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";
}

/** Another job was accepted under the same idempotency key. */
export class IdempotencyTakenError extends Error {
  override readonly name = "IdempotencyTakenError";
}

/** Takes jobs. Every promise resolves when the change is durable and readable. */
export interface Acceptor {
  /**
   * Writes some tasks of a job that is too large for one commit. No worker claims them before `accept`. Returns what
   * the next call and `accept` need.
   */
  stage(job: NewJob, tasks: readonly Task[], before?: StagedJob): Promise<StagedJob>;
  /** Removes what `stage` wrote. */
  unstage(staged: StagedJob): Promise<void>;
  /**
   * Makes a job live: once this resolves, none of its tasks is lost.
   * @throws QueueFullError, IdempotencyTakenError; then this call has written nothing
   */
  accept(acceptance: Acceptance): Promise<JobHeader>;
  /** The first answer under an idempotency key; `undefined` once the key is forgotten. */
  findIdempotent(tenant: string, key: string): Promise<IdempotentAnswer | undefined>;
}

/** What the first request under an idempotency key was answered, and the digest of that request. */
export interface IdempotentAnswer {
  readonly fingerprint: Uint8Array;
  readonly answer: string;
}
