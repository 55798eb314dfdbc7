import type { ClaimedTask } from "./task.ts";

/** Crashes of the process while one task ran, after which the task is a dead letter. */
export const CRASHES_MAX = 5;
/** Crashes after which a task runs alone. */
const SUSPECT_CRASHES = 3;

/**
 * Whether a task is suspected of killing the process: it ran at several crashes, and so did others beside it. A suspect
 * runs while nothing else does, so that the next crash counts against the one that causes it.
 */
export function isSuspect({ crashes }: Pick<ClaimedTask, "crashes">): boolean {
  return crashes >= SUSPECT_CRASHES;
}
