import type { Database } from "bun:sqlite";
import type { JobHeader, JobStatus } from "../jobs/job.ts";
import type { Lane } from "../jobs/lane.ts";
import type { ClaimedTask, Task, TaskState } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import { GroupCommit } from "./group-commit.ts";
import type { Outbox } from "./outbox.ts";
import {
  type Acceptance,
  acceptJob,
  findIdempotent,
  type NewJob,
  removeStaged,
  type StagedJob,
  stageTasks,
} from "./queue/accept.ts";
import { claimTasks, type LaneRequest, markStarted } from "./queue/claim.ts";
import { type JobCache, type QueueContext, readLanes } from "./queue/context.ts";
import { type Depth, readDepth, writeDepth } from "./queue/depth.ts";
import {
  blameFor,
  type DoomedTask,
  isDoomed,
  putBack,
  readInterrupted,
  sweepStaged,
  writeAbandoned,
} from "./queue/recover.ts";
import { countEnded, settleTask } from "./queue/settle.ts";
import { type QueuedTask, readTasksOfJob } from "./queue/task-reads.ts";
import { forgetUpload, type RecordedUpload, readUploads, recordUpload } from "./queue/uploads.ts";

export interface TaskQueueDeps {
  readonly db: Database;
  readonly outbox: Outbox;
  readonly jobs: JobCache;
  readonly now: () => number;
  readonly onCommit?: (durationMs: number, members: number) => void;
}

/** Longer than a commit takes, shorter than anybody notices. */
const GATHER_MS = 2;
const MEMBERS_MAX = 64;
const RECOVER_BATCH = 500;

/**
 * queue.db: jobs and tasks, and the only truth about them (D1). Every change shares the group commit, and is on the
 * disk and with the followers when its promise resolves.
 */
export class TaskQueue {
  readonly #context: QueueContext;
  readonly #now: () => number;
  #lastClaim = 0;

  constructor({ db, outbox, jobs, now, onCommit }: TaskQueueDeps) {
    const commit = new GroupCommit(db, {
      gatherMs: GATHER_MS,
      membersMax: MEMBERS_MAX,
      ...(onCommit !== undefined && { onCommit }),
      seal: (changes) => {
        countEnded(context, now(), changes);
        writeDepth(context, changes);
        if (changes.events.length === 0) return;
        const batch = outbox.write(changes.events);
        // Before anybody hears that the commit is done: reading follows writing.
        changes.afterCommit.unshift(() => outbox.deliver(batch));
      },
    });
    const context: QueueContext = { db, commit, jobs, onLane: () => {}, onFinished: () => {} };
    this.#context = context;
    this.#now = now;
  }

  /** Says who hears, after a commit, what a lane holds now; a lane may be new to the listener. */
  onLane(listener: (lane: Lane) => void): void {
    this.#context.onLane = listener;
  }

  /** Says who hears, after a commit, that a job ended. */
  onFinished(listener: (job: JobHeader, status: JobStatus) => void): void {
    this.#context.onFinished = listener;
  }

  /** Commits what is gathering, now. */
  flush(): void {
    this.#context.commit.flush();
  }

  /** Writes some of the tasks of a job too large for one commit. Nobody claims them before `accept`. */
  stage(job: NewJob, tasks: readonly Task[], before?: StagedJob): Promise<StagedJob> {
    return this.#context.commit.run(() => stageTasks(this.#context, job, tasks, before));
  }

  /** Takes back what `stage` wrote. */
  unstage(staged: StagedJob): Promise<void> {
    return this.#context.commit.run(() => removeStaged(this.#context, staged));
  }

  /**
   * Makes a job live: once this resolves, nothing of it is lost.
   * @throws QueueFullError, IdempotencyTakenError: nothing of this call was written.
   */
  accept(acceptance: Acceptance): Promise<JobHeader> {
    return this.#context.commit.run((changes) => acceptJob(this.#context, acceptance, changes));
  }

  /** The first answer under an idempotency key, while it is remembered. */
  findIdempotent(tenant: string, key: string): { fingerprint: Uint8Array; answer: string } | undefined {
    return findIdempotent(this.#context, tenant, key);
  }

  /** Lanes with waiting tasks, the first due first. */
  lanes(limit: number): Lane[] {
    return readLanes(this.#context, limit);
  }

  /** Takes due tasks of some lanes, oldest first; a lane that has fewer gives fewer. */
  claim(requests: readonly LaneRequest[]): Promise<ClaimedTask[]> {
    return this.#context.commit.run((changes) => {
      const now = this.#now();
      this.#lastClaim = Math.max(now * 1000, this.#lastClaim + 1);
      return claimTasks(this.#context, requests, this.#lastClaim, now, changes);
    });
  }

  /** Notes that a worker has begun with a claimed task: a crash counts against it from now on. */
  markStarted(claimed: ClaimedTask): Promise<void> {
    return this.#context.commit.run(() => markStarted(this.#context, claimed));
  }

  /** Notes, at once, that the process ends because it was told so: it counts as a crash against no task. */
  abandon(): void {
    writeAbandoned(this.#context, true);
  }

  /** Ends a claim as the verdict says. False if it is stale: then nothing changed. */
  settle(settlement: Settlement): Promise<boolean> {
    return this.#context.commit.run((changes) => settleTask(this.#context, settlement, this.#now(), changes));
  }

  /** Puts a claimed task back where it was; no attempt is spent. */
  release(claimed: ClaimedTask): Promise<boolean> {
    return this.settle({ claimed, verdict: { kind: "release" } });
  }

  /** Remembers an open upload; settling its task forgets it. */
  recordUpload(upload: RecordedUpload): Promise<void> {
    return this.#context.commit.run(() => recordUpload(this.#context, upload));
  }

  openUploads(): RecordedUpload[] {
    return readUploads(this.#context);
  }

  forgetUpload(upload: RecordedUpload): Promise<void> {
    return this.#context.commit.run(() => forgetUpload(this.#context, upload));
  }

  /**
   * Puts back what was claimed when the process died, and buries what ran at too many crashes: `onDoomed` hears
   * of it before. For start-up, before the first claim.
   */
  async recover(onDoomed: (doomed: DoomedTask) => Promise<void>): Promise<{ interrupted: number; sweptJobs: number }> {
    const blame = blameFor(this.#context);
    let interrupted = 0;
    for (;;) {
      const tasks = readInterrupted(this.#context, blame, RECOVER_BATCH);
      if (tasks.length === 0) break;
      for (const { id, job, task } of tasks.filter(isDoomed)) {
        await onDoomed({ id, jobId: this.#context.jobs.get(job).jobId, task });
      }
      const done = this.#context.commit.run((changes) => {
        for (const task of tasks) putBack(this.#context, task, this.#now(), changes);
      });
      this.flush();
      await done;
      interrupted += tasks.length;
    }
    const swept = this.#context.commit.run(() => {
      writeAbandoned(this.#context, false);
      return sweepStaged(this.#context);
    });
    this.flush();
    return { interrupted, sweptJobs: await swept };
  }

  depth(): Depth {
    return readDepth(this.#context);
  }

  /** Tasks of one job with ids after `afterId`, in order of their ids. */
  tasksOfJob(
    job: { readonly seq: number; readonly lastTask: number },
    afterId: number,
    limit: number,
    states: readonly TaskState[],
  ): QueuedTask[] {
    return readTasksOfJob(this.#context, job, afterId, limit, states);
  }
}
