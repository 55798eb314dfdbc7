import type { Clock } from "../jobs/clock.ts";
import { REQUEST_HEADERS_MAX } from "../jobs/request-header.ts";
import type { Task } from "../jobs/task.ts";
import type { DeadLetterFilter, DeadLetters, FullDeadLetter } from "../sqlite/dead-letters.ts";
import type { TaskQueue } from "../sqlite/queue.ts";

export interface ReplayRequest {
  /** Dead letters by their task ids, or by what they have in common. */
  readonly selection: { readonly taskIds: readonly number[] } | { readonly filter: DeadLetterFilter };
  /** Only count. */
  readonly dryRun: boolean;
  /** Tasks that become due per second; absent: all at once. */
  readonly ratePerSecond?: number | undefined;
  readonly overrides: {
    readonly headers?: Readonly<Record<string, string>> | undefined;
    readonly proxyPool?: string | undefined;
  };
}

export interface Replayed {
  readonly matched: number;
  readonly replayed: number;
}

export interface ReplayDeps {
  readonly queue: Pick<TaskQueue, "replay">;
  readonly deadLetters: Pick<DeadLetters, "find" | "list" | "count">;
  readonly clock: Pick<Clock, "steady">;
}

/** Letters of one commit; between two of them everybody else has a turn. */
const BATCH = 200;

/**
 * Puts dead letters back to work. Each is replayed once, whatever is killed: one that is done is none any more, so the
 * request can be repeated. A rate is kept by the tasks' due times, and so outlives the process.
 * @throws HeadersError: with the overrides a task would have too many; nothing of its batch was replayed
 */
export async function replay(request: ReplayRequest, deps: ReplayDeps): Promise<Replayed> {
  const { selection, dryRun } = request;
  if (dryRun && "filter" in selection) return { matched: deps.deadLetters.count(selection.filter), replayed: 0 };
  const startedAt = deps.clock.steady();
  const gapMs = request.ratePerSecond === undefined ? 0 : 1000 / request.ratePerSecond;
  let matched = 0;
  let replayed = 0;
  for (const letters of batches(selection, deps.deadLetters)) {
    if (!dryRun) {
      const replays = letters.map(({ task: id, contents, history }, index) => ({
        id,
        task: changed(contents, request.overrides),
        history,
        availableAt: Math.round(startedAt + (matched + index) * gapMs),
      }));
      replayed += await deps.queue.replay(replays);
    }
    matched += letters.length;
  }
  return { matched, replayed };
}

/** Nothing but headers may be too many for a request. */
export class HeadersError extends Error {
  override readonly name = "HeadersError";
}

function* batches(
  selection: ReplayRequest["selection"],
  deadLetters: ReplayDeps["deadLetters"],
): Generator<FullDeadLetter[]> {
  if ("taskIds" in selection) {
    const ids = [...new Set(selection.taskIds)];
    for (let at = 0; at < ids.length; at += BATCH) {
      const letters = ids.slice(at, at + BATCH).flatMap((id) => deadLetters.find(id) ?? []);
      if (letters.length > 0) yield letters;
    }
    return;
  }
  // Downwards: one that fails again meanwhile keeps its number, and is not met a second time.
  for (let before = Number.MAX_SAFE_INTEGER; ; ) {
    const page = deadLetters.list(selection.filter, before, BATCH);
    if (page.length === 0) return;
    yield page.flatMap(({ task }) => deadLetters.find(task) ?? []);
    before = page.at(-1)?.task ?? 0;
  }
}

function changed(task: Task, { headers, proxyPool }: ReplayRequest["overrides"]): Task {
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
  if (Object.keys(headers).length > REQUEST_HEADERS_MAX) {
    throw new HeadersError(`with the overrides a task would have more than ${REQUEST_HEADERS_MAX} headers`);
  }
  return headers;
}
