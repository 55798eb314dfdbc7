import type { Clock } from "../../std/clock.ts";
import { numbered } from "../../std/counted.ts";
import { errorText } from "../../std/error-text.ts";
import type { Manifest } from "../manifest/manifest-schema.ts";
import type { HandlerRunner, JobContext, JobReport } from "./handler.ts";
import { HandlerPort } from "./handler-port.ts";
import type { Message, Reply, Request } from "./thread-protocol.ts";

/** All threads of a handler were busy with other jobs for the whole deadline. */
export class HandlerBusyError extends Error {
  override readonly name = "HandlerBusyError";
}

/** Handlers whose files cannot be loaded: a line for each, with the file and the cause. */
export class HandlerLoadError extends Error {
  override readonly name = "HandlerLoadError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[], options?: ErrorOptions) {
    super(lines.join("\n"), options);
    this.lines = lines;
  }
}

export interface FileHandlerDeps {
  /** NAME of `[handlers.NAME]`; absent for a file that is only checked. */
  readonly name?: string | undefined;
  /** Absolute path of a .ts or .js file. */
  readonly file: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Limit for the handler's time in the expansion of one job, in its loading, and in a finalize. */
  readonly deadlineMs: number;
  readonly maxTasks: number;
  /** Receives the text that the handler prints. */
  readonly onMessage: (message: Message) => void;
  readonly clock: Clock;
}

/** Most jobs of one handler that are expanded at once. Each has a thread of its own, so that a loop costs one job. */
const THREADS_MAX = 4;

/**
 * Loads the handler of a file, which runs in threads of its own. The file's default export is a JobHandler, or a
 * function from the handler's options to one.
 * @throws HandlerLoadError
 */
export async function loadFileHandler(deps: FileHandlerDeps): Promise<HandlerRunner> {
  const threads = new HandlerThreads(deps);
  try {
    const first = await threads.take();
    threads.giveBack(first);
  } catch (error) {
    const { name, file } = deps;
    const place = name === undefined ? file : `[handlers.${name}] handler = "${file}"`;
    throw new HandlerLoadError([`${place}: ${errorText(error)}`], { cause: error });
  }
  return {
    tasks: (manifest, context) => expand(manifest, context, threads, deps),
    ...(threads.finalizes && { finalize: (report) => finalize(report, threads, deps) }),
    close: () => threads.close(),
  };
}

async function* expand(
  manifest: Manifest,
  context: JobContext,
  threads: HandlerThreads,
  { deadlineMs, maxTasks, clock }: FileHandlerDeps,
): AsyncGenerator<readonly unknown[], void> {
  const thread = await threads.take();
  let left = deadlineMs;
  let made = 0;
  const ask = async (request: Request): Promise<Reply> => {
    const since = clock.monotonic();
    const answer = await thread.ask(request, left, clock);
    left = Math.max(1, left - (clock.monotonic() - since));
    return answer;
  };
  let isDone = false;
  try {
    for (let answer = await ask({ kind: "expand", manifest, context }); ; answer = await ask({ kind: "more" })) {
      if (answer.kind !== "tasks") throw new Error(`the handler's thread answered with ${answer.kind}`);
      isDone = answer.isLast;
      made += answer.tasks.length;
      if (made > maxTasks)
        throw new Error(`the handler makes more than ${numbered(maxTasks, "task")}, the limit for one job`);
      yield answer.tasks;
      if (isDone) return;
    }
  } finally {
    // The caller does not wait for the handler's cleanup after an early end.
    if (isDone) threads.giveBack(thread);
    else void ask({ kind: "end" }).catch(() => {}).finally(() => threads.giveBack(thread)); // biome-ignore format: one step
  }
}

async function finalize(report: JobReport, threads: HandlerThreads, deps: FileHandlerDeps): Promise<void> {
  const thread = await threads.take();
  try {
    await thread.ask({ kind: "finalize", report }, deps.deadlineMs, deps.clock);
  } finally {
    threads.giveBack(thread);
  }
}

/** A handler's threads, each busy with at most one job. A dead thread is replaced when it is needed. */
class HandlerThreads {
  readonly #deps: FileHandlerDeps;
  readonly #idle: HandlerPort[] = [];
  readonly #busy = new Set<HandlerPort>();
  readonly #waiting: (() => void)[] = [];
  finalizes = false;
  #isClosed = false;

  constructor(deps: FileHandlerDeps) {
    this.#deps = deps;
  }

  /** A loaded thread for one job; waits while all are busy. @throws HandlerBusyError, or the error of loading it */
  async take(): Promise<HandlerPort> {
    while (this.#busy.size >= THREADS_MAX) await this.#turn();
    if (this.#isClosed) throw stopped();
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.isAlive) continue;
      this.#busy.add(idle);
      return idle;
    }
    return this.#start();
  }

  giveBack(thread: HandlerPort): void {
    if (!this.#busy.delete(thread)) return;
    if (this.#isClosed) thread.end(stopped());
    else if (thread.isAlive) this.#idle.push(thread);
    this.#waiting.shift()?.();
  }

  close(): void {
    this.#isClosed = true;
    for (const thread of [...this.#idle, ...this.#busy]) thread.end(stopped());
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #start(): Promise<HandlerPort> {
    const { file, options, deadlineMs, clock, onMessage } = this.#deps;
    const thread = new HandlerPort(onMessage);
    this.#busy.add(thread);
    try {
      const answer = await thread.ask({ kind: "load", file, options }, deadlineMs, clock);
      this.finalizes = answer.kind === "loaded" && answer.finalizes;
      return thread;
    } catch (error) {
      thread.end(error as Error);
      this.giveBack(thread);
      throw error;
    }
  }

  /** Waits until a thread is free. @throws HandlerBusyError at the deadline */
  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const { deadlineMs, clock } = this.#deps;
      const wake = () => {
        timer.cancel();
        resolve();
      };
      const timer = clock.after(deadlineMs, () => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        reject(new HandlerBusyError("the handler of this job type is busy with other jobs; try again later"));
      });
      this.#waiting.push(wake);
    });
  }
}

function stopped(): Error {
  return new Error("the service is stopping");
}
