import { format } from "node:util";
import type { MessageLevel } from "./thread-protocol.ts";

/** Redirects the handler's output to `print`, because lines on stdout would mix with those of the log. */
export function takeOutput(print: (level: MessageLevel, text: string) => void): void {
  const printer =
    (level: MessageLevel) =>
    (...words: unknown[]) =>
      print(level, format(...words));
  Object.assign(console, {
    debug: printer("debug"),
    trace: printer("debug"),
    log: printer("info"),
    info: printer("info"),
    dir: printer("info"),
    table: printer("info"),
    warn: printer("warn"),
    error: printer("error"),
  });
  const writer = (level: MessageLevel) => (chunk: string | Uint8Array) => {
    const text = typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
    for (const line of text.split("\n")) if (line !== "") print(level, line);
    return true;
  };
  Object.assign(process.stdout, { write: writer("info") });
  Object.assign(process.stderr, { write: writer("error") });
}

/**
 * Forbids calls that would end the whole process from a thread. `process.exit` ends only the thread, and is allowed.
 */
export function forbidEnding(): void {
  const kill = process.kill.bind(process);
  Object.assign(process, {
    abort: () => {
      throw new Error("a handler may not abort the process");
    },
    kill: (pid: number, signal?: string | number) => {
      // 0 and negative numbers are process groups, our own among them.
      if (pid === process.pid || pid <= 0) throw new Error("a handler may not kill the process");
      return kill(pid, signal);
    },
  });
}
