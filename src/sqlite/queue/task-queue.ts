import type { Database } from "bun:sqlite";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
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

/** The queue with the parts that only this backend has. */
export interface TaskQueue extends QueueParts {
  /** The switch that refuses every change: for good, or while the disk has no room for the writes of a start. */
  readonly gate: Pick<GroupCommit, "halt" | "hold" | "resume" | "heldBy">;
  /** Commits waiting changes at once. */
  flush(): void;
  /** See `Stores.abandon`. */
  abandon(): void;
  /** See `Stores.tryWrite`. */
  tryWrite(): Promise<void>;
}

/**
 * queue.db: jobs and tasks, and the only truth about them (D1). Its parts, one for each consumer, share the group
 * commit: a change is on the disk when its promise resolves, and the projections show it.
 */
export function openTaskQueue(deps: TaskQueueDeps): TaskQueue {
  const listeners: LaneListeners = { onLane: () => {}, onWaitingAgain: () => {} };
  const context = openContext(deps, listeners);
  const { commit, db } = context;
  const orphans = new UploadOrphans(context);
  return {
    acceptor: new JobAcceptor(context),
    source: new DueTasks(context, listeners),
    settlements: new ClaimSettlements(context),
    cancellations: new JobCancellations(context, listeners),
    deadLetters: new DeadLetterCommands(context),
    hosts: new HostRows(context),
    control: new QueueState(context, deps.outbox),
    orphans,
    retention: new QueuePruning(context),
    gate: commit,
    onFinished: (listener) => {
      context.onFinished = listener;
    },
    recover: (onPoison, storesLate = false) => recoverQueue(context, orphans, onPoison, storesLate),
    flush: () => commit.flush(),
    abandon: () => writeAbandoned(context, true),
    async tryWrite() {
      await commit.run(() => writeMeta(db, "trial", "x".repeat(TRIAL_BYTES)));
      await commit.run(() => writeMeta(db, "trial", ""));
    },
  };
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
