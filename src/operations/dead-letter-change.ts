import type { BulkOperation, DeadLetterChanges, OperationStep, Overrides } from "../jobs/stores/dead-letter-changes.ts";
import type { FullDeadLetter } from "../jobs/stores/dead-letter-reads.ts";
import type { Task } from "../jobs/task.ts";
import { TASK_HEADERS_MAX, withDefaults } from "../net/request-header.ts";

/** A change of dead letters: a replay or a discard. */
export type DeadLetterChange = Pick<BulkOperation, "kind" | "overrides" | "ratePerSecond">;

/** The error of overrides that would give tasks too many headers. */
export class HeadersError extends Error {
  override readonly name = "HeadersError";
}

/** Tasks that a message names. */
const NAMED_MAX = 10;

/**
 * Changes some dead letters in one commit. Resolves to the number of changed ones. The due times of the tasks, from
 * `dueFrom` (steady clock) on, keep the rate, so that it outlives the process.
 * @throws HeadersError; no dead letter is changed then
 */
export function changeDeadLetters(
  deadLetters: readonly FullDeadLetter[],
  { kind, overrides, ratePerSecond, dueFrom }: DeadLetterChange & { readonly dueFrom: number },
  deadLetterChanges: Pick<DeadLetterChanges, "replay" | "discard">,
  step?: OperationStep,
): Promise<number> {
  if (kind === "give_up") {
    const discarded = deadLetters.map(({ task: id, resourceId }) => ({ id, resourceId }));
    return deadLetterChanges.discard(discarded, "given_up", step);
  }
  const replays = withOverrides(deadLetters, overrides).map(({ deadLetter, task }, at) => ({
    id: deadLetter.task,
    task,
    history: deadLetter.history,
    availableAt: Math.round(dueFrom + at * gapMs(ratePerSecond)),
  }));
  return deadLetterChanges.replay(replays, step);
}

/**
 * Dead letters and their tasks with the overrides. @throws HeadersError, which names tasks that would break the rule
 */
export function withOverrides(
  deadLetters: readonly FullDeadLetter[],
  overrides: Overrides,
): { deadLetter: FullDeadLetter; task: Task }[] {
  const changed = deadLetters.map((deadLetter) => ({ deadLetter, task: overridden(deadLetter.contents, overrides) }));
  if (overrides.headers === undefined) return changed;
  const tooMany = changed.filter(({ task }) => Object.keys(task.headers ?? {}).length > TASK_HEADERS_MAX);
  if (tooMany.length === 0) return changed;
  const named = tooMany.slice(0, NAMED_MAX).map(({ deadLetter }) => deadLetter.task);
  const more = tooMany.length > NAMED_MAX ? ", …" : "";
  throw new HeadersError(
    `with the overrides these tasks would have more than ${TASK_HEADERS_MAX} headers: ${named.join(", ")}${more}`,
  );
}

/** The time between the due times of two tasks. */
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
