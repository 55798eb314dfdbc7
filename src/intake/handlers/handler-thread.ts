/**
 * The thread that runs a handler's file, so that a handler that loops, hangs or ends costs only its job. The thread
 * answers one request at a time, and is an entry point of the build.
 */
import { format } from "node:util";
import { systemClock } from "../../std/clock.ts";
import type { JobHandler } from "./handler.ts";
import { loadProblem } from "./load-problem.ts";
import { forbidEnding, takeOutput } from "./thread-limits.ts";
import type { Reply, Request, Thrown } from "./thread-protocol.ts";

/** Most tasks in one answer: enough to make the cost of a message between threads small. */
const TASKS_PER_ANSWER = 500;
/** After this time the answer is sent with the tasks so far. */
const GATHER_MS = 25;
/** Most lines that a handler may print per request, because a loop would print without end. */
const LINES_PER_REQUEST = 100;
const LINE_MAX = 4096;

type Steps = Iterator<unknown> | AsyncIterator<unknown>;

declare const self: Worker;

let handler: JobHandler | undefined;
let steps: Steps | undefined;
let lines = 0;

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  lines = 0;
  let answer: Reply;
  try {
    answer = await answerTo(data);
  } catch (error) {
    answer = { kind: "failed", thrown: thrownOf(error) };
  }
  send(answer);
};
takeOutput((level, text) => {
  lines += 1;
  if (lines > LINES_PER_REQUEST) return;
  const shown = lines === LINES_PER_REQUEST ? "further lines are left out" : text.slice(0, LINE_MAX);
  self.postMessage({ kind: "message", level, text: shown } satisfies Reply);
});
forbidEnding();

async function answerTo(request: Request): Promise<Reply> {
  switch (request.kind) {
    case "load":
      handler = await load(request.file, request.options);
      return { kind: "loaded", finalizes: typeof handler.finalize === "function" };
    case "expand": {
      const manifest = await loaded().prepare(request.manifest, request.context);
      steps = iteratorOf(loaded().buildTasks(manifest, request.context));
      return gather(steps);
    }
    case "more":
      if (steps === undefined) throw new Error("no job is being expanded");
      return gather(steps);
    case "end":
      await steps?.return?.();
      steps = undefined;
      return { kind: "done" };
    case "finalize":
      await loaded().finalize?.(request.report);
      return { kind: "done" };
  }
}

function loaded(): JobHandler {
  if (handler === undefined) throw new Error("the handler is not loaded");
  return handler;
}

async function load(file: string, options: Readonly<Record<string, unknown>>): Promise<JobHandler> {
  let exported: unknown;
  try {
    exported = ((await import(file)) as { default?: unknown }).default;
    if (typeof exported === "function") exported = await exported(options);
  } catch (error) {
    throw new Error(`cannot be loaded:${loadProblem(error, file)}`, { cause: error });
  }
  if (typeof exported !== "object" || exported === null) throw new Error("has no default export that is a JobHandler");
  for (const method of ["prepare", "buildTasks"]) {
    if (typeof (exported as Record<string, unknown>)[method] !== "function")
      throw new Error(`lacks the method ${method}`);
  }
  return exported as JobHandler;
}

function iteratorOf(made: Iterable<unknown> | AsyncIterable<unknown>): Steps {
  if (Symbol.asyncIterator in made) return made[Symbol.asyncIterator]();
  return made[Symbol.iterator]();
}

async function gather(from: Steps): Promise<Reply> {
  const tasks: unknown[] = [];
  const since = systemClock.monotonic();
  while (tasks.length < TASKS_PER_ANSWER && systemClock.monotonic() - since < GATHER_MS) {
    const step = await from.next();
    if (step.done === true) {
      steps = undefined;
      return { kind: "tasks", tasks, isLast: true };
    }
    tasks.push(step.value);
  }
  return { kind: "tasks", tasks, isLast: false };
}

/** Sends an answer. A value that cannot pass between threads, such as a function, is an error that names its task. */
function send(answer: Reply): void {
  try {
    self.postMessage(answer);
  } catch (error) {
    const tasks = answer.kind === "tasks" ? answer.tasks : [];
    const culprit = tasks.find((task) => !isCloneable(task)) as { resourceId?: unknown } | undefined;
    const of = culprit === undefined ? "" : ` of the task ${JSON.stringify(String(culprit.resourceId)).slice(0, 100)}`;
    const thrown = thrownOf(new Error(`a value${of} is not plain data: ${(error as Error).message}`));
    self.postMessage({ kind: "failed", thrown } satisfies Reply);
  }
}

function isCloneable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

function thrownOf(error: unknown): Thrown {
  if (!(error instanceof Error)) return { name: "Error", message: format("%s", error) };
  const { name, message, stack, details } = error as Error & { details?: unknown };
  return {
    name,
    message,
    ...(stack !== undefined && { stack }),
    ...(Array.isArray(details) && isCloneable(details) && { details: details as unknown[] }),
  };
}
