import type { Clock } from "../../std/clock.ts";
import { type Message, type Reply, type Request, rethrown } from "./thread-protocol.ts";

/** In the executable the build's entry points lie beside each other, under their paths in src. */
const THREAD = import.meta.url.includes("$bunfs")
  ? "./intake/handlers/handler-thread.ts"
  : new URL("./handler-thread.ts", import.meta.url).href;

/** A value that is waited for; a handler's answer, or that its thread ended. */
type Waiting = PromiseWithResolvers<Exclude<Reply, Message>>;

/** One handler's thread, seen from the service. */
export class HandlerPort {
  // Without the environment: it holds the service's secrets. What a handler needs is in its options.
  readonly #worker = new Worker(THREAD, { env: {} });
  #waiting: Waiting | undefined;
  #end: Error | undefined;

  constructor(onSaid: (said: Message) => void) {
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      if (data.is === "said") return onSaid(data);
      this.#settle((waiting) => waiting.resolve(data));
    });
    this.#worker.addEventListener("error", ({ message }) => {
      const text = lastLine(message);
      // After its work nobody waits to hear of it.
      if (this.#waiting === undefined) onSaid({ is: "said", level: "error", text: `failed after its work: ${text}` });
      this.end(new Error(text));
    });
    this.#worker.addEventListener("close", () => this.end(new Error("the handler ended its own thread")));
  }

  get isAlive(): boolean {
    return this.#end === undefined;
  }

  /**
   * The answer to one request. A thread that does not answer within `ms` is ended.
   * @throws what the handler threw, or an Error that says that it hung or ended
   */
  async ask(request: Request, ms: number, clock: Clock): Promise<Exclude<Reply, Message>> {
    if (this.#end !== undefined) throw this.#end;
    const waiting: Waiting = Promise.withResolvers();
    this.#waiting = waiting;
    const timer = clock.after(ms, () => this.end(new Error("the handler hangs, or takes too long; it was stopped")));
    try {
      this.#worker.postMessage(request);
      const answer = await waiting.promise;
      if (answer.is === "failed") throw rethrown(answer.thrown);
      return answer;
    } finally {
      timer.cancel();
    }
  }

  /** Ends the thread, whatever it does; who waits for an answer gets the reason. */
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

/** An error that nobody caught arrives with the source around it; its last line but the places is the error. */
function lastLine(message: string): string {
  const line = message.split("\n").find((each) => /^\w*(?:error|exception)\b.*:/i.test(each));
  return line ?? message;
}
