import { format } from "node:util";
import type { MessageLevel } from "./thread-protocol.ts";

/** A handler's own words belong in the log, not between its lines: whatever way it prints them, `say` gets them. */
export function takeOutput(say: (level: MessageLevel, text: string) => void): void {
  const printer =
    (level: MessageLevel) =>
    (...words: unknown[]) =>
      say(level, format(...words));
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
    for (const line of text.split("\n")) if (line !== "") say(level, line);
    return true;
  };
  Object.assign(process.stdout, { write: writer("info") });
  Object.assign(process.stderr, { write: writer("error") });
}

/**
 * What ends a process ends all of it, from whichever thread; `process.exit` alone means the thread, and may be called.
 */
export function forbidEnding(): void {
  const kill = process.kill.bind(process);
  Object.assign(process, {
    abort: () => {
      throw new Error("a handler may not abort the process");
    },
    kill: (pid: number, signal?: string | number) => {
      // 0 and below are groups, ours among them.
      if (pid === process.pid || pid <= 0) throw new Error("a handler may not kill the process");
      return kill(pid, signal);
    },
  });
}
