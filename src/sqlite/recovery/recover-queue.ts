import { isSuspect } from "../../jobs/crash-limit.ts";
import { type InterruptedTask, type PoisonTask, type RecoveredQueue } from "../../jobs/stores/recovery.ts";
import type { Changes } from "../group-commit.ts";
import type { QueueContext } from "../queue/queue-context.ts";
import type { UploadOrphans } from "../uploads/upload-orphans.ts";
import { rebaseWaits } from "./heartbeat.ts";
import { crashCountOf, isPoison, putBack, readInterrupted, sweepStaged, writeAbandoned } from "./interrupted-tasks.ts";

const BATCH = 500;

/** Runs the recovery of `QueueParts.recover` in commits of a bounded size. */
export async function recoverQueue(
  context: QueueContext,
  orphans: UploadOrphans,
  onPoison: (poison: PoisonTask) => Promise<void>,
  storesLate: boolean,
): Promise<RecoveredQueue> {
  const { jobs } = context;
  await now(context, () => rebaseWaits(context));
  const crashCount = crashCountOf(context);
  const tokenOf = (task: InterruptedTask) => (storesLate ? orphans.tokenBefore(task) : undefined);
  let interrupted = 0;
  let suspects = 0;
  for (;;) {
    const tasks = readInterrupted(context, crashCount, BATCH);
    if (tasks.length === 0) break;
    for (const { id, job, task } of tasks.filter(isPoison)) {
      await onPoison({ id, jobId: jobs.get(job).jobId, task });
    }
    await now(context, (changes) => {
      for (const task of tasks) putBack(context, task, tokenOf(task), changes);
    });
    interrupted += tasks.length;
    suspects += tasks.filter((task) => isSuspect(task) && !isPoison(task)).length;
  }
  await now(context, () => {
    writeAbandoned(context, false);
    context.started.supersede();
    orphans.noteProcess();
  });
  const sweptJobs = await sweepStaged(context);
  return { interrupted, suspects, sweptJobs };
}

/** Commits at once: at the start there are no other members. */
async function now<T>({ commit }: QueueContext, work: (changes: Changes) => T): Promise<T> {
  const done = commit.run(work);
  commit.flush();
  return await done;
}
