import { TASK_HEADERS_MAX } from "../jobs/request-header.ts";
import type { Task } from "../jobs/task.ts";
import type { FullDeadLetter } from "../sqlite/dead-letters.ts";
import type { LetterDesk } from "../sqlite/letter-desk.ts";
import type { LetterOperation, OperationStep, Overrides } from "../sqlite/queue/letter-operations.ts";

/** What is done to dead letters. */
export type LetterChange = Pick<LetterOperation, "kind" | "overrides" | "ratePerSecond">;

/** With the overrides a task would have more headers than a task may have. */
export class HeadersError extends Error {
  override readonly name = "HeadersError";
}

/**
 * Carries a change of some letters out, in one commit; how many it changed. A rate is kept by the tasks' due times, from
 * `dueFrom` (steady clock) on, and so outlives the process.
 * @throws HeadersError: nothing was changed
 */
export function changeLetters(
  letters: readonly FullDeadLetter[],
  { kind, overrides, ratePerSecond }: LetterChange,
  dueFrom: number,
  desk: Pick<LetterDesk, "replay" | "drop">,
  step?: OperationStep,
): Promise<number> {
  if (kind === "give_up") {
    const dropped = letters.map(({ task: id, resourceId }) => ({ id, resourceId }));
    return desk.drop(dropped, "given_up", step);
  }
  const replays = letters.map(({ task: id, contents, history }, at) => ({
    id,
    task: overridden(contents, overrides),
    history,
    availableAt: Math.round(dueFrom + at * gapMs(ratePerSecond)),
  }));
  return desk.replay(replays, step);
}

/** Between the due times of two tasks. */
export function gapMs(ratePerSecond: number | undefined): number {
  return ratePerSecond === undefined ? 0 : 1000 / ratePerSecond;
}

function overridden(task: Task, { headers, proxyPool }: Overrides): Task {
  if (headers === undefined && proxyPool === undefined) return task;
  return {
    ...task,
    ...(headers !== undefined && { headers: withHeaders(task.headers ?? {}, headers) }),
    ...(proxyPool !== undefined && { proxyPool }),
  };
}

function withHeaders(
  own: Readonly<Record<string, string>>,
  others: Readonly<Record<string, string>>,
): Record<string, string> {
  const replaced = new Set(Object.keys(others).map((name) => name.toLowerCase()));
  const kept = Object.entries(own).filter(([name]) => !replaced.has(name.toLowerCase()));
  const headers = Object.fromEntries([...kept, ...Object.entries(others)]);
  if (Object.keys(headers).length > TASK_HEADERS_MAX) {
    throw new HeadersError(`with the overrides a task would have more than ${TASK_HEADERS_MAX} headers`);
  }
  return headers;
}
