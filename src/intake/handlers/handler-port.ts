import type { Clock } from "../../std/clock.ts";
import { type Message, type Reply, type Request, rethrown } from "./thread-protocol.ts";

/** Entry point of the thread. In the executable all entry points have their paths in src. */
const THREAD = import.meta.url.includes("$bunfs")
  ? "./intake/handlers/handler-thread.ts"
  : new URL("./handler-thread.ts", import.meta.url).href;

/** The pending answer of a handler. It rejects if the thread ends. */
type Waiting = PromiseWithResolvers<Exclude<Reply, Message>>;

/** One handler's thread, as the service uses it. */
export class HandlerPort {
  // Without the environment, which contains the service's secrets. A handler gets its settings from its options.
  readonly #worker = new Worker(THREAD, { env: {} });
  #waiting: Waiting | undefined;
  #end: Error | undefined;

  constructor(onMessage: (message: Message) => void) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      if (data.kind === "message") return onMessage(data);
      this.#settle((waiting) => waiting.resolve(data));
    });
    this.#worker.addEventListener("error", ({ message }) => {
      const text = lastLine(message);
      // Without a pending request no caller would learn of the error.
      if (this.#waiting === undefined) {
        onMessage({ kind: "message", level: "error", text: `failed after its work: ${text}` });
      }
      this.end(new Error(text));
    });
    this.#worker.addEventListener("close", () => this.end(new Error("the handler ended its own thread")));
  }

  get isAlive(): boolean {
    return this.#end === undefined;
  }

  /**
   * The answer to one request. A thread that does not answer within `ms` is ended.
   * @throws the handler's error, or an Error if the handler hung or ended its thread
   */
  async ask(request: Request, ms: number, clock: Clock): Promise<Exclude<Reply, Message>> {
    if (this.#end !== undefined) throw this.#end;
    const waiting: Waiting = Promise.withResolvers();
    this.#waiting = waiting;
    const timer = clock.after(ms, () =>
      this.end(new Error(`the handler did not answer within ${ms} ms; it was stopped`)),
    );
    try {
      this.#worker.postMessage(request);
      const answer = await waiting.promise;
      if (answer.kind === "failed") throw rethrown(answer.thrown);
      return answer;
    } finally {
      timer.cancel();
    }
  }

  /** Ends the thread at once; a pending request rejects with the reason. */
  end(reason: Error): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#worker.terminate();
    this.#settle((waiting) => waiting.reject(reason));
  }

  #settle(how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) how(waiting);
  }
}

/** The error's own line of an uncaught error's text, which also has the source code and a stack. */
function lastLine(message: string): string {
  const line = message.split("\n").find((each) => /^\w*(?:error|exception)\b.*:/i.test(each));
  return line ?? message;
}
