import { writeSync } from "node:fs";
import { visibleText } from "../std/visible-text.ts";
import { EXIT, exitCodeOf, WorkFailedError } from "./exit-code.ts";
import { runProgram } from "./program.ts";
import type { Hangups } from "./service-signals.ts";
import { printableLines } from "./terminal/terminal-text.ts";

const UNFORESEEN = 1;
const AGAIN_MS = 5;

/** Runs one command line and returns the exit code of the process. */
export async function runToExit(args: readonly string[], env: NodeJS.ProcessEnv, hangups?: Hangups): Promise<number> {
  try {
    return await runProgram(args, {
      env,
      cwd: process.cwd(),
      out: (text) => write(1, text),
      err: (text) => write(2, text),
      hangups,
    });
  } catch (error) {
    const { code: errno } = error as { code?: unknown };
    // A reader that stops early (`fetchbox jobs | head`) has read enough.
    if (errno === "EPIPE") return EXIT.done;
    const code = exitCodeOf(error);
    // The message may quote a server or a file.
    write(2, `fetchbox: ${printableLines(code === undefined ? inspected(error) : (error as Error).message)}\n`);
    return code ?? UNFORESEEN;
  }
}

/** An unexpected error with its stack, without the leading `error: `. */
function inspected(error: unknown): string {
  return Bun.inspect(error).replace(/^error: /, "");
}

/**
 * Writes the whole text before the call returns, so that a full disk is an error and no text is lost at the end. The
 * text contains no control characters that a terminal would obey.
 */
function write(fd: number, text: string): void {
  for (let rest = Buffer.from(visibleText(text)); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code, message } = error as Error & { code?: unknown };
      if (code === "EPIPE") throw error;
      // EAGAIN: another process made the pipe non-blocking, and the pipe is full.
      if (code !== "EAGAIN") throw new WorkFailedError(`cannot write the output: ${message}`, { cause: error });
      Bun.sleepSync(AGAIN_MS);
    }
  }
}
