import type { HostChange, HostRecord } from "../../../../src/jobs/host-record.ts";
import { isFinished, type JobHeader } from "../../../../src/jobs/job.ts";
import type { StagedJob } from "../../../../src/jobs/stores/acceptor.ts";
import type {
  BulkOperation,
  DiscardReason,
  OperationStep,
  Replay,
} from "../../../../src/jobs/stores/dead-letter-changes.ts";
import type { LogLevel } from "../../../../src/jobs/stores/ledger-reads.ts";
import { type AttemptRecord, type ClaimedTask, hostOf, type Task, withAttempt } from "../../../../src/jobs/task.ts";
import type { Verdict } from "../../../../src/jobs/verdict.ts";
import type { FakeClock } from "../../../support/clock.ts";
import { present } from "../../../support/sample-jobs.ts";
import { jobStatus, type ModelJob, type ModelResult, type ModelTask } from "./model-job.ts";

/** The books of all stores as plain objects: the reference that a backend's reads must agree with. */
export class Books {
  readonly jobs = new Map<number, ModelJob>();
  readonly tasks = new Map<number, ModelTask>();
  readonly keys = new Map<string, { readonly answer: string; readonly createdAt: number; readonly job: ModelJob }>();
  readonly hosts = new Map<string, HostRecord>();
  readonly operations = new Map<number, BulkOperation>();
  isPaused = false;
  #pausedAt = 0;
  /** When the last task is due that replays at a rate have scheduled. */
  #scheduledUntil = 0;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  // Jobs

  stage(header: JobHeader, tasks: readonly Task[], { lastTask }: Pick<StagedJob, "lastTask">): void {
    const { seq } = header;
    const job = this.jobs.get(seq) ?? {
      header,
      tasks: [],
      logs: [],
      isStaged: true,
      isCancelling: false,
      hasStarted: false,
      isInQueue: true,
      updatedAt: header.createdAt,
      completedAt: null,
    };
    this.jobs.set(seq, job);
    for (const [at, task] of tasks.entries()) this.#add(job, lastTask - tasks.length + 1 + at, task);
  }

  #add(job: ModelJob, id: number, task: Task): void {
    if (this.tasks.has(id)) throw new Error(`task ${id} was there before`);
    const added: ModelTask = {
      id,
      job,
      task,
      host: hostOf(task.url),
      state: "waiting",
      availableAt: this.#clock.steady(),
      claimedAt: 0,
      claimId: 0,
      isStarted: false,
      attempts: 0,
      crashes: 0,
      crashTimes: [],
      waitingSince: undefined,
      mayHaveStored: false,
      history: [],
      hasDeadLetter: false,
      result: undefined,
    };
    this.tasks.set(id, added);
    job.tasks.push(added);
  }

  unstage(seq: number): void {
    const job = this.jobs.get(seq);
    if (job?.isStaged !== true) return;
    for (const { id } of job.tasks) this.tasks.delete(id);
    this.jobs.delete(seq);
  }

  accept(header: JobHeader, tasks: readonly Task[], lastTask: number, key?: { key: string; answer: string }): void {
    this.stage(header, tasks, { lastTask });
    const job = present(this.jobs.get(header.seq));
    job.isStaged = false;
    if (key !== undefined) this.keys.set(key.key, { answer: key.answer, createdAt: header.createdAt, job });
    job.logs.push(["info", "job accepted", null]);
  }

  live(): ModelJob[] {
    return [...this.jobs.values()].filter(({ isStaged }) => !isStaged);
  }

  /** Tasks that wait, of jobs that were accepted. */
  waiting(): ModelTask[] {
    return [...this.tasks.values()].filter(({ state, job }) => state === "waiting" && !job.isStaged);
  }

  // Claims

  claim(claimed: readonly ClaimedTask[]): void {
    for (const { id, claimId } of claimed) {
      const task = present(this.tasks.get(id));
      Object.assign(task, { state: "running", claimId, claimedAt: this.#clock.steady(), isStarted: false });
      if (task.job.hasStarted) continue;
      task.job.hasStarted = true;
      task.job.updatedAt = this.#clock.now();
    }
  }

  start(id: number): void {
    const task = present(this.tasks.get(id));
    if (task.state === "running") task.isStarted = true;
  }

  /** False if the claim is stale. */
  settle({ id, claimId }: ClaimedTask, verdict: Verdict): boolean {
    const task = this.tasks.get(id);
    if (task?.state !== "running" || task.claimId !== claimId) return false;
    task.isStarted = false;
    switch (verdict.kind) {
      case "complete": {
        const { httpStatus, bytes } = verdict.result;
        this.#log(task, "info", "resource stored");
        this.#end(task, "completed", { attempts: task.attempts + 1, httpStatus, bytes });
        break;
      }
      case "discard":
        this.#fail(task, verdict);
        break;
      case "cancel":
        this.cancelTask(task);
        break;
      case "retry":
        task.attempts++;
        this.#postpone(task, verdict.attempt, verdict.availableAt, undefined);
        break;
      case "snooze":
        this.#postpone(task, verdict.attempt, verdict.availableAt, verdict.waitingSince);
        break;
      case "release":
        this.#wait(task, this.#clock.steady());
        break;
    }
    return true;
  }

  #wait(task: ModelTask, availableAt: number): void {
    Object.assign(task, { state: "waiting", availableAt, isStarted: false });
  }

  #postpone(task: ModelTask, attempt: AttemptRecord, at: number, since: ClaimedTask["waitingSince"]): void {
    this.#log(task, "warn", "attempt failed");
    task.history = withAttempt(task.history, attempt);
    task.waitingSince = since;
    // A suspect ran alone and without a crash.
    if (task.crashes >= 3) task.crashes = 0;
    this.#wait(task, at);
  }

  #fail(task: ModelTask, { code, message, attempt, attempts }: Extract<Verdict, { kind: "discard" }>): void {
    this.#log(task, "warn", "attempt failed");
    this.#log(task, "error", "resource failed for good");
    task.history = withAttempt(task.history, attempt);
    task.hasDeadLetter = true;
    const httpStatus = attempt.httpStatus ?? null;
    this.#end(task, "failed", { attempts, httpStatus, errorCode: code, errorMessage: message });
  }

  cancelTask(task: ModelTask): void {
    const httpStatus = task.history.at(-1)?.httpStatus ?? null;
    task.job.updatedAt = this.#clock.now();
    this.#end(task, "cancelled", { attempts: task.attempts, httpStatus });
  }

  #end(task: ModelTask, state: "completed" | "failed" | "cancelled", more: Partial<ModelResult>): void {
    const { history } = task;
    const empty = { attempts: 0, httpStatus: null, bytes: null, errorCode: null, errorMessage: null };
    task.result = { ...empty, ...more, finishedAt: this.#clock.now(), history };
    Object.assign(task, { state, waitingSince: undefined, isStarted: false });
    const { job } = task;
    const status = jobStatus(job);
    if (!isFinished(status)) return;
    Object.assign(job, { isCancelling: false, completedAt: this.#clock.now(), updatedAt: this.#clock.now() });
    job.logs.push(["info", `job ${status}`, null]);
  }

  #log({ job, task }: ModelTask, level: LogLevel, message: string): void {
    job.logs.push([level, message, task.resourceId]);
    job.updatedAt = this.#clock.now();
  }

  // Commands of operators

  requestCancel(job: ModelJob): void {
    if (job.isCancelling || job.completedAt !== null) return;
    job.isCancelling = true;
    job.updatedAt = this.#clock.now();
    job.logs.push(["warn", "job is being cancelled", null]);
  }

  replay(replays: readonly Replay[], step?: OperationStep): number {
    let last = 0;
    const changed = replays.filter(({ id, task: contents, history, availableAt }) => {
      const task = this.tasks.get(id);
      if (task?.hasDeadLetter !== true) return false;
      Object.assign(task, { task: contents, host: hostOf(contents.url), attempts: 0, crashes: 0, history });
      Object.assign(task, { hasDeadLetter: false, result: undefined, waitingSince: undefined });
      this.#wait(task, availableAt);
      task.job.completedAt = null;
      this.#log(task, "debug", "dead letter replayed");
      last = Math.max(last, availableAt);
      return true;
    }).length;
    if (last > this.#clock.steady()) this.#scheduledUntil = Math.max(this.#scheduledUntil, last);
    return this.#noted(changed, step);
  }

  discard(ids: readonly number[], _: DiscardReason, step?: OperationStep): number {
    const changed = ids.filter((id) => {
      const task = this.tasks.get(id);
      if (task?.hasDeadLetter !== true) return false;
      task.hasDeadLetter = false;
      this.#log(task, "debug", "dead letter dropped");
      return true;
    }).length;
    return this.#noted(changed, step);
  }

  #noted(changed: number, step: OperationStep | undefined): number {
    if (step === undefined) return changed;
    const known = present(this.operations.get(step.id));
    const processed = known.processed + step.processed;
    const { beforeTask } = step;
    this.operations.set(step.id, { ...known, processed, changed: known.changed + changed, beforeTask });
    return changed;
  }

  endOperation(id: number, state: BulkOperation["state"], error: string | null): void {
    const known = present(this.operations.get(id));
    if (known.state !== "running") return;
    this.operations.set(id, { ...known, state, error, finishedAt: this.#clock.now(), overrides: {} });
  }

  noteHosts(changes: readonly HostChange[]): void {
    for (const change of changes) {
      if ("forget" in change) this.hosts.delete(change.host);
      else this.hosts.set(change.host, change);
    }
  }

  // Time

  /** Returns the length of the pause that ends. */
  setPaused(paused: boolean): number {
    if (paused === this.isPaused) return 0;
    this.isPaused = paused;
    const now = this.#clock.steady();
    if (paused) {
      this.#pausedAt = now;
      return 0;
    }
    const ms = Math.max(0, now - this.#pausedAt);
    this.#resumeReplays(this.#pausedAt);
    this.#shiftWaits(ms);
    return ms;
  }

  #shiftWaits(ms: number): void {
    for (const task of this.tasks.values()) {
      const { waitingSince } = task;
      if (waitingSince !== undefined) task.waitingSince = { ...waitingSince, at: waitingSince.at + ms };
    }
    for (const [host, record] of this.hosts) {
      const { unavailableSince } = record;
      if (unavailableSince !== undefined) this.hosts.set(host, { ...record, unavailableSince: unavailableSince + ms });
    }
  }

  /** Moves replays that follow at a rate, due in a time in which no task could start: the first one is due now. */
  #resumeReplays(since: number): void {
    if (this.#scheduledUntil <= since) return;
    const scheduled = this.waiting().filter(
      ({ history, attempts, waitingSince, availableAt }) =>
        history.length > 0 && attempts === 0 && waitingSince === undefined && availableAt >= since,
    );
    const ms = this.#clock.steady() - Math.min(this.#clock.steady(), ...scheduled.map((task) => task.availableAt));
    if (ms <= 0) return;
    for (const task of scheduled) task.availableAt += ms;
    for (const [id, operation] of this.operations) {
      if (operation.state !== "running" || operation.ratePerSecond === undefined) continue;
      this.operations.set(id, { ...operation, dueFrom: operation.dueFrom + ms });
    }
    this.#scheduledUntil += ms;
  }

  /** A start after a crash, whose process was last seen at `lastSeen`. Returns the poison tasks and the suspects. */
  recover(lastSeen: number): { readonly interrupted: number; readonly suspects: number; readonly poison: number[] } {
    this.#rebase(lastSeen);
    const interrupted = [...this.tasks.values()].filter(({ state }) => state === "running");
    const hasStarted = interrupted.some(({ isStarted }) => isStarted);
    const poison: number[] = [];
    let suspects = 0;
    for (const task of interrupted.sort((a, b) => a.claimId - b.claimId || a.id - b.id)) {
      if (hasStarted ? task.isStarted : task.crashes < 3) {
        task.crashes++;
        task.crashTimes = [...task.crashTimes, task.claimedAt].slice(-5);
      }
      if (task.crashes >= 5) {
        poison.push(task.id);
        this.#bury(task);
      } else {
        if (task.crashes >= 3) suspects++;
        this.#putBack(task);
      }
    }
    for (const [seq, { isStaged }] of this.jobs) if (isStaged) this.unstage(seq);
    return { interrupted: interrupted.length, suspects, poison };
  }

  #putBack(task: ModelTask): void {
    const now = this.#clock.steady();
    const isSameLane = (each: ModelTask) =>
      each.job === task.job && each.host === task.host && each.task.bucket === task.task.bucket;
    const lane = task.job.tasks.filter((each) => each.state === "waiting" && isSameLane(each));
    const front = Math.min(now, ...lane.map(({ availableAt }) => availableAt - 1));
    task.mayHaveStored = true;
    this.#wait(task, task.crashes >= 3 ? front : now);
  }

  #bury(task: ModelTask): void {
    const crashAt = (startedAt: number): AttemptRecord => ({
      startedAt,
      durationMs: 0,
      code: "TASK_INTERRUPTED",
      message: "the process crashed while this attempt was under way, after an unknown time",
      bytes: 0,
    });
    const times = task.crashTimes;
    task.history = times.slice(0, -1).map(crashAt).reduce(withAttempt, task.history);
    const message = "the process crashed 5 times while this task ran";
    const attempt = crashAt(present(times.at(-1)));
    this.#fail(task, { kind: "discard", code: "TASK_INTERRUPTED", message, attempt, attempts: task.attempts });
    task.crashTimes = [];
  }

  /** Moves all waits to the clock of the new process. */
  #rebase(lastSeen: number): void {
    const now = this.#clock.steady();
    const gap = now - lastSeen;
    const continuesPause = this.isPaused && gap >= 0;
    if (!continuesPause) this.#shiftWaits(gap);
    if (!continuesPause && gap > 0) this.#resumeReplays(lastSeen);
    if (gap >= 0) return;
    this.#pausedAt += gap;
    for (const task of this.tasks.values()) if (task.availableAt > now) task.availableAt += gap;
    for (const [host, record] of this.hosts) {
      const { closedUntil, breakerUntil, slowedAt } = record;
      const moved = { closedUntil: closedUntil + gap, breakerUntil: breakerUntil + gap, slowedAt: slowedAt + gap };
      this.hosts.set(host, { ...record, ...moved });
    }
  }
}
