import type { Database } from "bun:sqlite";
import { isSuspect } from "../../jobs/crash-limit.ts";
import type { HostChange, HostRecord } from "../../jobs/host-record.ts";
import type { JobHeader, JobStatus } from "../../jobs/job.ts";
import type { Lane } from "../../jobs/lane.ts";
import { type Acceptance, type NewJob, type StagedJob } from "../../jobs/stores/acceptor.ts";
import { type WaitingTask } from "../../jobs/stores/cancellations.ts";
import { type QueuedTask } from "../../jobs/stores/ledger-reads.ts";
import { type Depth } from "../../jobs/stores/queue-control.ts";
import { type PoisonTask, type RecoveredQueue } from "../../jobs/stores/recovery.ts";
import { type RecordedUpload } from "../../jobs/stores/settlements.ts";
import { type LaneRequest } from "../../jobs/stores/task-source.ts";
import type { ClaimedTask, Task, TaskState } from "../../jobs/task.ts";
import type { Settlement } from "../../jobs/verdict.ts";
import type { Clock } from "../../std/clock.ts";
import type { Reach } from "../../std/failpoint.ts";
import { DeadLetterCommands } from "../dead-letters/dead-letter-commands.ts";
import { giveBackPages } from "../file/free-pages.ts";
import { readMeta, writeMeta } from "../file/meta.ts";
import { type Changes, GroupCommit } from "../group-commit.ts";
import type { Outbox } from "../outbox.ts";
import { Heartbeat } from "../recovery/heartbeat.ts";
import { writeAbandoned } from "../recovery/interrupted-tasks.ts";
import { recoverQueue } from "../recovery/recover-queue.ts";
import { recordUpload } from "../uploads/recorded-uploads.ts";
import { UploadOrphans } from "../uploads/upload-orphans.ts";
import { acceptJob, findIdempotent, removeStaged, stageTasks } from "./accept.ts";
import { cancelWaiting, readWaiting, requestCancel } from "./cancel-tasks.ts";
import { claimTasks } from "./claim.ts";
import { readDepth, writeDepth } from "./depth.ts";
import { readHosts, writeHosts } from "./host-rows.ts";
import { readNextDueMs, readOldestAgeMs } from "./oldest-age.ts";
import { isPaused, timeBefore, writePaused } from "./pause.ts";
import { pruneJobs, pruneKeys, readPrunable } from "./prune-queue.ts";
import { type JobCache, notifyLanes, type QueueContext, readLanes, readLanesAfter } from "./queue-context.ts";
import { countEnded, settleTask } from "./settle-task.ts";
import { StartedTasks } from "./started-tasks.ts";
import { readTasksOfJob } from "./task-reads.ts";
import { readBusiestHosts, writeWaits } from "./waits.ts";

export interface TaskQueueDeps {
  readonly db: Database;
  readonly outbox: Outbox;
  readonly jobs: JobCache;
  readonly clock: Pick<Clock, "now" | "steady">;
  readonly onCommit?: (durationMs: number, members: number) => void;
  readonly reach?: Reach;
  readonly onDrift: QueueContext["onDrift"];
  readonly onFailed?: (error: unknown) => void;
}

/** Longer than a commit takes, shorter than anybody notices. */
const GATHER_MS = 2;
/**
 * What a worker need not wait for: fewer, larger commits. Longer than from one claim to the next where tasks are short,
 * so that settlements mostly share the commit of a claim.
 */
const SETTLE_GATHER_MS = 60;
const MEMBERS_MAX = 128;
/** Of a job with a few hundred tasks. */
const TRIAL_BYTES = 65_536;

/**
 * queue.db: jobs and tasks, and the only truth about them (D1). Every change shares the group commit, and is on the
 * disk when its promise resolves, and seen by who reads the followers.
 */
export class TaskQueue {
  readonly deadLetters: DeadLetterCommands;
  readonly orphans: UploadOrphans;
  readonly #context: QueueContext;
  readonly #outbox: Outbox;
  readonly #lastSeen = new Heartbeat();
  /** Settlements that gather for a commit. */
  #settling = 0;
  /** Resolves once the tasks that began since the last commit are noted. */
  #noted: Promise<void> | undefined;
  #onLane: (lane: Lane) => void = () => {};
  #onStray: (job: number) => void = () => {};

  constructor({ db, outbox, jobs, clock, onCommit, onDrift, reach, onFailed }: TaskQueueDeps) {
    const commit = new GroupCommit(db, {
      gatherMs: GATHER_MS,
      membersMax: MEMBERS_MAX,
      cache: jobs,
      ...(onCommit !== undefined && { onCommit }),
      ...(onFailed !== undefined && { onFailed }),
      seal: (changes) => {
        countEnded(context, changes);
        writeDepth(context, changes);
        writeWaits(context, changes);
        this.#lastSeen.note(context, changes);
        context.started.note(context, changes);
        if (changes.events.length === 0) return;
        const batch = outbox.write(changes.events);
        // Before anybody hears that the commit is done: reading follows writing.
        changes.afterCommit.unshift(() => outbox.committed(batch));
        if (reach !== undefined) passCommit(changes, reach);
      },
    });
    const context: QueueContext = {
      db,
      commit,
      jobs,
      clock,
      started: new StartedTasks(),
      uploading: new Set(),
      onLane: (lane) => {
        if (!jobs.cancelling.has(lane.job.seq)) return this.#onLane(lane);
        this.#onLane({ ...lane, waiting: 0 });
        if (lane.waiting > 0) this.#onStray(lane.job.seq);
      },
      onDrift,
      onFinished: () => {},
    };
    this.#context = context;
    this.#outbox = outbox;
    this.deadLetters = new DeadLetterCommands(context);
    this.orphans = new UploadOrphans(context);
  }

  /** Says who hears, after a commit, what a lane holds now; a lane may be new to the listener. */
  onLane(listener: (lane: Lane) => void): void {
    this.#onLane = listener;
  }

  /** Says who hears, after a commit, that a task of a job that is being cancelled waits: it is to be cancelled, too. */
  onStray(listener: (job: number) => void): void {
    this.#onStray = listener;
  }

  /** Says who hears, after a commit, that a job ended. */
  onFinished(listener: (job: JobHeader, status: JobStatus) => void): void {
    this.#context.onFinished = listener;
  }

  /** Refuses every change: for good, or while the disk has no room for what a start writes. */
  get gate(): Pick<GroupCommit, "halt" | "hold" | "resume" | "heldBy"> {
    return this.#context.commit;
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
    return removeStaged(this.#context, staged);
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

  /** Lanes with waiting tasks and numbers after `afterId`, in order of their numbers. */
  lanesAfter(afterId: number, limit: number): Lane[] {
    return readLanesAfter(this.#context, afterId, limit);
  }

  /** Lanes with waiting tasks, the first due first; those behind `after`, if it is given. */
  lanes(limit: number, after?: Pick<Lane, "id" | "nextDue">): Lane[] {
    return readLanes(this.#context, limit, after);
  }

  /** Takes tasks of some lanes that are due, oldest first; a lane that has fewer gives fewer. */
  claim(requests: readonly LaneRequest[], due?: number): Promise<ClaimedTask[]> {
    return this.#context.commit.run((changes) =>
      claimTasks(this.#context, requests, due ?? this.#context.clock.steady(), changes),
    );
  }

  /** Notes that a worker has begun with a claimed task: a crash counts against it from now on. */
  markStarted(claimed: ClaimedTask): Promise<void> {
    this.#context.started.add(claimed.id);
    // One member of the commit for all that begin until then; they are written as it is sealed.
    if (this.#noted !== undefined) return this.#noted;
    let isOpen = true;
    const close = () => {
      isOpen = false;
      this.#noted = undefined;
    };
    // A suspect waits for it, and everybody else waits for the suspect.
    const gatherMs = isSuspect(claimed) ? GATHER_MS : SETTLE_GATHER_MS;
    const noted = this.#context.commit.run(close, gatherMs).finally(close);
    if (isOpen) this.#noted = noted;
    return noted;
  }

  /** Notes, at once, that the process ends because it was told so: it counts as a crash against no task. */
  abandon(): void {
    writeAbandoned(this.#context, true);
  }

  /** Ends a claim as the verdict says. False if it is stale: then nothing changed. */
  settle(settlement: Settlement): Promise<boolean> {
    this.#settling++;
    // Where all that was begun has ended, nobody else is going to come.
    const gatherMs = this.#settling >= this.#context.started.size ? GATHER_MS : SETTLE_GATHER_MS;
    const settled = this.#context.commit.run((changes) => settleTask(this.#context, settlement, changes), gatherMs);
    const end = () => void this.#settling--;
    settled.then(end, end);
    return settled;
  }

  /** Puts a claimed task back where it was; no attempt is spent. */
  release(claimed: ClaimedTask): Promise<boolean> {
    return this.settle({ claimed, verdict: { kind: "release" } });
  }

  /**
   * Notes that nothing more of a job is to be fetched: none of its tasks is claimed from now on. Its number, or
   * `undefined` if there is no such job at work.
   */
  async requestCancel(jobId: string): Promise<number | undefined> {
    const job = await this.#context.commit.run((changes) => requestCancel(this.#context, jobId, changes));
    if (job !== undefined) await notifyLanes(this.#context, job);
    return job;
  }

  isCancelling(job: number): boolean {
    return this.#context.jobs.cancelling.has(job);
  }

  /** Jobs that are being cancelled; at start, those that the last process did not get done. */
  cancellingJobs(): number[] {
    return [...this.#context.jobs.cancelling];
  }

  /** Tasks of a job that nobody works on, with ids after `afterId`, in order of their ids. */
  waitingTasks(job: number, afterId: number, limit: number): WaitingTask[] {
    return readWaiting(this.#context, job, afterId, limit);
  }

  /** Cancels those of some tasks of a job that still wait. */
  cancelWaiting(job: number, ids: readonly number[]): Promise<void> {
    return this.#context.commit.run((changes) => cancelWaiting(this.#context, job, ids, changes));
  }

  /** Remembers an open upload; settling its task forgets it, or makes an orphan of it. */
  recordUpload(upload: RecordedUpload): Promise<void> {
    this.#context.uploading.add(upload.task);
    return this.#context.commit.run(() => recordUpload(this.#context, upload));
  }

  /**
   * Brings waits into this process's time, puts back what was claimed when the last one died, and buries what ran at
   * too many crashes: `onDoomed` hears of it before. Where the storage `storesLate`, what was under way is an orphan.
   * For start-up, before the first claim.
   */
  recover(onDoomed: (doomed: PoisonTask) => Promise<void>, storesLate = false): Promise<RecoveredQueue> {
    return recoverQueue(this.#context, this.orphans, onDoomed, storesLate);
  }

  /** Jobs that ended before `before` (milliseconds since the epoch) and are to be pruned. */
  prunableJobs(before: number, limit: number): number[] {
    return readPrunable(this.#context, before, limit);
  }

  /** Takes jobs that ended away, until about `rows` rows are gone. How many jobs are gone. */
  pruneJobs(jobs: readonly number[], rows: number): Promise<number> {
    return this.#context.commit.run((changes) => pruneJobs(this.#context, jobs, rows, changes));
  }

  /** Forgets idempotency keys from before `before`, but none of a job at work. How many it were. */
  pruneKeys(before: number, limit: number): Promise<number> {
    return this.#context.commit.run(() => pruneKeys(this.#context, before, limit));
  }

  isPaused(): boolean {
    return isPaused(this.#context);
  }

  /**
   * Notes that no download is to begin, or may again. How long the pause that ends here has lasted, in milliseconds:
   * all that waits has been given that much longer.
   */
  setPaused(paused: boolean): Promise<number> {
    return this.#context.commit.run(() => writePaused(this.#context, paused));
  }

  /** The time that was `ms` ago, by the steady clock, where the last pause does not count. */
  timeBefore(ms: number): number {
    return timeBefore(this.#context, ms);
  }

  /** For how long the task that is due longest has been due, in milliseconds; 0 where none is. */
  oldestPendingAgeMs(): number {
    return readOldestAgeMs(this.#context);
  }

  /**
   * In how many milliseconds the first waiting task is due, of those of hosts that are asked for; 0 where one is due
   * now, `undefined` where none waits, or none is found among the lanes that are due first.
   */
  nextDueMs(isAskedFor: (host: string) => boolean = () => true): number | undefined {
    return readNextDueMs(this.#context, isAskedFor);
  }

  /** The hosts that most tasks wait for, and how many. */
  busiestHosts(limit: number): Map<string, number> {
    return readBusiestHosts(this.#context, limit);
  }

  /** What an earlier process wrote down of hosts. */
  knownHosts(): HostRecord[] {
    return readHosts(this.#context);
  }

  /** Writes down what is to be remembered of hosts: all that `take` has to tell when the commit comes. */
  noteHosts(take: () => readonly HostChange[]): Promise<void> {
    let taken: readonly HostChange[] | undefined;
    return this.#context.commit.run(() => {
      taken ??= take();
      writeHosts(this.#context, taken);
    });
  }

  /** When the wall clock was last found to go right, milliseconds since the epoch; 0 if it never was. */
  clockTrustedAt(): number {
    return Number(readMeta(this.#context.db, "clock_trusted"));
  }

  noteTrustedClock(now: number): Promise<void> {
    return this.#context.commit.run(() => writeMeta(this.#context.db, "clock_trusted", String(now)));
  }

  /**
   * Writes about as much as a job, and removes it again: finds out whether there is room. @throws what the store throws
   */
  async tryRoom(): Promise<void> {
    const { commit, db } = this.#context;
    await commit.run(() => writeMeta(db, "trial", "x".repeat(TRIAL_BYTES)));
    await commit.run(() => writeMeta(db, "trial", ""));
  }

  hasJob(seq: number): boolean {
    return this.#context.db.query<unknown, [number]>("SELECT 1 FROM jobs WHERE seq = ?").get(seq) !== null;
  }

  /** Gives free pages back to the file system, at most `limit`. False if there was nothing to do. */
  giveBackPages(limit: number): boolean {
    return giveBackPages(this.#context.db, limit);
  }

  /** How many tasks are in which state; what the followers tell is no older. */
  depth(): Depth {
    this.#outbox.deliver();
    return readDepth(this.#context);
  }

  /** Tasks of one job with ids after `afterId`, in order of their ids. */
  tasksOfJob(
    job: { readonly seq: number; readonly firstTask: number; readonly lastTask: number },
    afterId: number,
    limit: number,
    states: readonly TaskState[],
  ): QueuedTask[] {
    return readTasksOfJob(this.#context, job, afterId, limit, states);
  }
}

/** Just before the commit, and just after it, before anybody else has heard of it. */
function passCommit(changes: Changes, reach: Reach): void {
  const told = new Set(changes.events.flatMap(({ kind }) => kind?.$case ?? []));
  for (const event of told) reach(`queue.before-commit/${event}`);
  changes.afterCommit.unshift(() => {
    for (const event of told) reach(`queue.after-commit/${event}`);
  });
}
