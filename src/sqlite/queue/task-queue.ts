import type { Database } from "bun:sqlite";
import type { JobHeader, JobStatus } from "../../jobs/job.ts";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
import { type PoisonTask, type RecoveredQueue } from "../../jobs/stores/recovery.ts";
import type { Clock } from "../../std/clock.ts";
import type { Reach } from "../../std/failpoint.ts";
import { DeadLetterCommands } from "../dead-letters/dead-letter-commands.ts";
import { writeMeta } from "../file/meta.ts";
import { type Changes, GroupCommit } from "../group-commit.ts";
import type { Outbox } from "../outbox.ts";
import { Heartbeat } from "../recovery/heartbeat.ts";
import { writeAbandoned } from "../recovery/interrupted-tasks.ts";
import { recoverQueue } from "../recovery/recover-queue.ts";
import { UploadOrphans } from "../uploads/upload-orphans.ts";
import { JobAcceptor } from "./accept.ts";
import { JobCancellations } from "./cancel-tasks.ts";
import { DueTasks } from "./claim.ts";
import { ClaimSettlements } from "./claim-settlements.ts";
import { writeDepth } from "./depth.ts";
import { HostRows } from "./host-rows.ts";
import { QueuePruning } from "./prune-queue.ts";
import { GATHER_MS, type JobCache, type LaneListeners, type QueueContext } from "./queue-context.ts";
import { QueueState } from "./queue-state.ts";
import { countEnded } from "./settle-task.ts";
import { StartedTasks } from "./started-tasks.ts";
import { writeWaits } from "./waits.ts";

interface TaskQueueDeps {
  readonly db: Database;
  readonly outbox: Outbox;
  readonly jobs: JobCache;
  readonly clock: Pick<Clock, "now" | "steady">;
  readonly onCommit?: (durationMs: number, members: number) => void;
  readonly reach?: Reach;
  readonly onDrift: QueueContext["onDrift"];
  readonly onFailed?: (error: unknown) => void;
}

const MEMBERS_MAX = 128;
/** Bytes that a trial writes: a job with a few hundred tasks. */
const TRIAL_BYTES = 65_536;

/**
 * queue.db: jobs and tasks, and the only truth about them (D1). Its parts, one for each consumer, share the group
 * commit: a change is on the disk when its promise resolves, and the projections show it.
 */
export class TaskQueue implements QueueParts {
  readonly acceptor: JobAcceptor;
  readonly source: DueTasks;
  readonly settlements: ClaimSettlements;
  readonly cancellations: JobCancellations;
  readonly deadLetters: DeadLetterCommands;
  readonly hosts: HostRows;
  readonly control: QueueState;
  readonly orphans: UploadOrphans;
  readonly retention: QueuePruning;
  readonly #context: QueueContext;

  constructor(deps: TaskQueueDeps) {
    const listeners: LaneListeners = { onLane: () => {}, onWaitingAgain: () => {} };
    const context = openContext(deps, listeners);
    this.#context = context;
    this.acceptor = new JobAcceptor(context);
    this.source = new DueTasks(context, listeners);
    this.settlements = new ClaimSettlements(context);
    this.cancellations = new JobCancellations(context, listeners);
    this.deadLetters = new DeadLetterCommands(context);
    this.hosts = new HostRows(context);
    this.control = new QueueState(context, deps.outbox);
    this.orphans = new UploadOrphans(context);
    this.retention = new QueuePruning(context);
  }

  /** Calls `listener` after the commit that ended a job. */
  onFinished(listener: (job: JobHeader, status: JobStatus) => void): void {
    this.#context.onFinished = listener;
  }

  /** The switch that refuses every change: for good, or while the disk has no room for the writes of a start. */
  get gate(): Pick<GroupCommit, "halt" | "hold" | "resume" | "heldBy"> {
    return this.#context.commit;
  }

  /** Commits waiting changes at once. */
  flush(): void {
    this.#context.commit.flush();
  }

  /**
   * Requeues the tasks that were claimed when the last process died, and moves waits to this process's clock. A poison
   * task fails, after a call of `onPoison`. If the storage `storesLate`, uploads under way become orphans. For the
   * start, before the first claim.
   */
  recover(onPoison: (poison: PoisonTask) => Promise<void>, storesLate = false): Promise<RecoveredQueue> {
    return recoverQueue(this.#context, this.orphans, onPoison, storesLate);
  }

  /** Notes at once that a signal ends the process: its end counts as a crash against no task. */
  abandon(): void {
    writeAbandoned(this.#context, true);
  }

  /** Writes and removes about as many bytes as a job, to check for room. @throws the error of the store */
  async tryRoom(): Promise<void> {
    const { commit, db } = this.#context;
    await commit.run(() => writeMeta(db, "trial", "x".repeat(TRIAL_BYTES)));
    await commit.run(() => writeMeta(db, "trial", ""));
  }
}

function openContext(deps: TaskQueueDeps, listeners: LaneListeners): QueueContext {
  const { db, outbox, jobs, clock, onCommit, onDrift, reach, onFailed } = deps;
  const heartbeat = new Heartbeat();
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
      heartbeat.note(context, changes);
      context.started.note(context, changes);
      if (changes.events.length === 0) return;
      const batch = outbox.write(changes.events);
      // The outbox takes the batch before a caller sees the commit: reading follows writing.
      changes.after("memory", () => outbox.committed(batch));
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
      if (!jobs.cancelling.has(lane.job.seq)) return listeners.onLane(lane);
      listeners.onLane({ ...lane, waiting: 0 });
      if (lane.waiting > 0) listeners.onWaitingAgain(lane.job.seq);
    },
    onDrift,
    onFinished: () => {},
  };
  return context;
}

/** Reports the steps just before the commit and just after it, before other effects run. */
function passCommit(changes: Changes, reach: Reach): void {
  const kinds = new Set(changes.events.flatMap(({ kind }) => kind?.$case ?? []));
  for (const event of kinds) reach(`queue.before-commit/${event}`);
  changes.after("cache", () => {
    for (const event of kinds) reach(`queue.after-commit/${event}`);
  });
}
