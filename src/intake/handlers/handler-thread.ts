/**
 * The thread that a handler's file runs in, so that one that loops, hangs or ends its process costs its job only. It
 * does what it is asked for, one thing at a time, and is an entry point of its own in the build.
 */
import { format } from "node:util";
import type { JobHandler } from "./handler.ts";
import { loadProblem } from "./load-problem.ts";
import { forbidEnding, takeOutput } from "./thread-limits.ts";
import type { Reply, Request, Thrown } from "./thread-protocol.ts";

/** What one answer carries: enough to make its way between the threads cheap. */
const TASKS_PER_ANSWER = 500;
/** What is there by then goes out, however little. */
const GATHER_MS = 25;
/** Lines that a handler may print while it does one thing; a looping one prints without end. */
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
    answer = { is: "failed", thrown: thrownOf(error) };
  }
  send(answer);
};
takeOutput((level, text) => {
  lines += 1;
  if (lines > LINES_PER_REQUEST) return;
  const said = lines === LINES_PER_REQUEST ? "further lines are left out" : text.slice(0, LINE_MAX);
  self.postMessage({ is: "said", level, text: said } satisfies Reply);
});
forbidEnding();

async function answerTo(request: Request): Promise<Reply> {
  switch (request.asks) {
    case "load":
      handler = await load(request.file, request.options);
      return { is: "loaded", finalizes: typeof handler.finalize === "function" };
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
      return { is: "done" };
    case "finalize":
      await loaded().finalize?.(request.report);
      return { is: "done" };
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
  const since = performance.now();
  while (tasks.length < TASKS_PER_ANSWER && performance.now() - since < GATHER_MS) {
    const step = await from.next();
    if (step.done === true) {
      steps = undefined;
      return { is: "tasks", tasks, isLast: true };
    }
    tasks.push(step.value);
  }
  return { is: "tasks", tasks, isLast: false };
}

/** What cannot pass between threads (a function, say) is the handler's failure, told with the task that has it. */
function send(answer: Reply): void {
  try {
    self.postMessage(answer);
  } catch (error) {
    const tasks = answer.is === "tasks" ? answer.tasks : [];
    const culprit = tasks.find((task) => !isCloneable(task)) as { resourceId?: unknown } | undefined;
    const of = culprit === undefined ? "" : ` of the task ${JSON.stringify(String(culprit.resourceId)).slice(0, 100)}`;
    const thrown = thrownOf(new Error(`a value${of} is no plain data: ${(error as Error).message}`));
    self.postMessage({ is: "failed", thrown } satisfies Reply);
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
