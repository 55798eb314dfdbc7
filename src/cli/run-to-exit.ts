import { writeSync } from "node:fs";
import { visibleText } from "../std/visible-text.ts";
import { EXIT, exitCodeOf, WorkFailedError } from "./exit-code.ts";
import { runProgram } from "./program.ts";
import type { Hangups } from "./service-signals.ts";
import { printableLines } from "./terminal/terminal-text.ts";

const UNFORESEEN = 1;
const AGAIN_MS = 5;

/** Runs one command line, and returns what the process is to end with. */
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
    // Who reads no further (`fetchbox jobs | head`) has what it wanted.
    if (errno === "EPIPE") return EXIT.done;
    const code = exitCodeOf(error);
    // What a server or a file said may be in it.
    write(2, `fetchbox: ${printableLines(code === undefined ? inspected(error) : (error as Error).message)}\n`);
    return code ?? UNFORESEEN;
  }
}

/** An error that nobody foresaw, with its stack, and without a second name before it. */
function inspected(error: unknown): string {
  return Bun.inspect(error).replace(/^error: /, "");
}

/**
 * All of it, before the call returns: a full disk is told, and nothing is lost at the end. Whatever command it comes
 * from, and whoever's words are in it, no terminal is moved or painted by it.
 */
function write(fd: number, text: string): void {
  for (let rest = Buffer.from(visibleText(text)); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code, message } = error as Error & { code?: unknown };
      if (code === "EPIPE") throw error;
      // A pipe that somebody else has made non-blocking, and that is full.
      if (code !== "EAGAIN") throw new WorkFailedError(`the output cannot be written: ${message}`, { cause: error });
      Bun.sleepSync(AGAIN_MS);
    }
  }
}
