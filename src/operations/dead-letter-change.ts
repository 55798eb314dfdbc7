import type { BulkOperation, DeadLetterChanges, OperationStep, Overrides } from "../jobs/stores/dead-letter-changes.ts";
import type { FullDeadLetter } from "../jobs/stores/dead-letter-reads.ts";
import type { Task } from "../jobs/task.ts";
import { TASK_HEADERS_MAX, withDefaults } from "../net/request-header.ts";

/** What is done to dead letters. */
export type DeadLetterChange = Pick<BulkOperation, "kind" | "overrides" | "ratePerSecond">;

/** With the overrides tasks would have more headers than a task may have. */
export class HeadersError extends Error {
  override readonly name = "HeadersError";
}

/** So many tasks a message names. */
const NAMED_MAX = 10;

/**
 * Carries a change of some letters out, in one commit; how many it changed. A rate is kept by the tasks' due times,
 * from `dueFrom` (steady clock) on, and so outlives the process.
 * @throws HeadersError: nothing was changed
 */
export function changeDeadLetters(
  letters: readonly FullDeadLetter[],
  { kind, overrides, ratePerSecond, dueFrom }: DeadLetterChange & { readonly dueFrom: number },
  desk: Pick<DeadLetterChanges, "replay" | "discard">,
  step?: OperationStep,
): Promise<number> {
  if (kind === "give_up") {
    const dropped = letters.map(({ task: id, resourceId }) => ({ id, resourceId }));
    return desk.discard(dropped, "given_up", step);
  }
  const replays = withOverrides(letters, overrides).map(({ letter, task }, at) => ({
    id: letter.task,
    task,
    history: letter.history,
    availableAt: Math.round(dueFrom + at * gapMs(ratePerSecond)),
  }));
  return desk.replay(replays, step);
}

/**
 * Letters and their tasks as they are to be tried. @throws HeadersError, which names tasks that would break the rule
 */
export function withOverrides(
  letters: readonly FullDeadLetter[],
  overrides: Overrides,
): { letter: FullDeadLetter; task: Task }[] {
  const changed = letters.map((letter) => ({ letter, task: overridden(letter.contents, overrides) }));
  if (overrides.headers === undefined) return changed;
  const tooMany = changed.filter(({ task }) => Object.keys(task.headers ?? {}).length > TASK_HEADERS_MAX);
  if (tooMany.length === 0) return changed;
  const named = tooMany.slice(0, NAMED_MAX).map(({ letter }) => letter.task);
  const more = tooMany.length > NAMED_MAX ? ", …" : "";
  throw new HeadersError(
    `with the overrides these tasks would have more than ${TASK_HEADERS_MAX} headers: ${named.join(", ")}${more}`,
  );
}

/** Between the due times of two tasks. */
export function gapMs(ratePerSecond: number | undefined): number {
  return ratePerSecond === undefined ? 0 : 1000 / ratePerSecond;
}

function overridden(task: Task, { headers, proxyPool }: Overrides): Task {
  if (headers === undefined && proxyPool === undefined) return task;
  return {
    ...task,
    ...(headers !== undefined && { headers: withDefaults(headers, task.headers ?? {}) }),
    ...(proxyPool !== undefined && { proxyPool }),
  };
}
