import { stripVTControlCharacters } from "node:util";
import { BINARY } from "./binary.ts";

export interface TerminalOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
  readonly rows?: number;
}

/** A command that runs at a terminal of its own. */
export interface AtTerminal extends AsyncDisposable {
  /** All that it has written, as it came. */
  readonly written: () => string;
  /** The lines of it, without escape sequences; what a later line overwrote is among them. */
  readonly lines: () => string[];
  readonly kill: (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => void;
  /** Types, as the user would: "\x03" is Ctrl-C. */
  readonly type: (keys: string) => void;
  /** Its exit code, or the signal that ended it; by then all that it wrote is here. */
  readonly ended: Promise<number | string>;
}

/** Starts the binary at a terminal, with nothing of our environment but `PATH`. */
export function startAtTerminal(args: readonly string[], options: TerminalOptions): AtTerminal {
  const { cwd, env = {}, columns = 80, rows = 24 } = options;
  const decoder = new TextDecoder();
  let written = "";
  const closed = Promise.withResolvers<void>();
  const child = Bun.spawn([BINARY, ...args], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", TERM: "xterm-256color", ...env },
    terminal: {
      cols: columns,
      rows,
      data: (_, data) => void (written += decoder.decode(data, { stream: true })),
      exit: () => closed.resolve(),
    },
  });
  return {
    written: () => written,
    lines: () =>
      stripVTControlCharacters(written)
        .split(/[\r\n]+/)
        .filter((line) => line !== ""),
    kill: (signal) => child.kill(signal),
    type: (keys) => void child.terminal?.write(keys),
    ended: Promise.all([child.exited, closed.promise]).then(() => child.signalCode ?? child.exitCode ?? "unknown"),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      child.terminal?.close();
    },
  };
}
