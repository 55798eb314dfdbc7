import { constants, fstatSync, openSync, type Stats, writeSync } from "node:fs";

/** The destination of log lines. */
export interface LogDestination {
  /** Takes one line of JSON with its line break; must not throw. */
  write(line: string): void;
  readonly isTerminal: boolean;
}

/** Most characters that wait for a reader that has stopped reading. */
const WAITING_MAX = 1024 * 1024;
const STDOUT = 1;

/**
 * Standard output for the log. The system has each line before `write` returns, so a killed process loses no line about
 * a visible effect.
 *
 * It never waits: for a stopped reader (a stopped journald, a pipe to `less`), up to 1 MiB of lines wait in memory.
 * Further lines are dropped, and a line counts them once the reader continues. A closed reader or a full disk does not
 * end the process.
 */
export function standardOutput(): LogDestination {
  return { write: writerFor(STDOUT), isTerminal: process.stdout.isTTY === true };
}

/** Writes whole lines; never throws and never waits. */
type LineWriter = (lines: string) => void;

function writerFor(fd: number): LineWriter {
  const stat = statOf(fd);
  if (stat?.isFile() === true) return fileWriter();
  const own = stat?.isFIFO() === true || stat?.isCharacterDevice() === true ? reopened(fd) : undefined;
  return own === undefined ? sinkWriter() : unblockedWriter(own);
}

function statOf(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}

/**
 * A new descriptor for the same pipe or terminal, whose writes never wait. The flag on the shared descriptor would
 * affect other processes. Only Linux can reopen it; `undefined` elsewhere.
 */
function reopened(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** A writer for a file, which accepts each line or fails at once. */
function fileWriter(): LineWriter {
  return (lines) => {
    try {
      writeSync(STDOUT, lines);
    } catch {
      // The disk is full, and there is no other place for the line.
    }
  };
}

/** The time between a write that would have waited and the next try. */
const RETRY_MS = 20;

/** A writer for pipes and terminals, which retries a refused write after a moment. */
function unblockedWriter(fd: number): LineWriter {
  const waiting = new BoundedLines(WAITING_MAX);
  let rest: Uint8Array = new Uint8Array(0);

  /** Returns true once everything is written or can never be. */
  function write(): boolean {
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as { code?: unknown }).code === "EAGAIN") return false;
      rest = new Uint8Array(0); // the reader is closed (EPIPE)
    }
    return true;
  }

  function tryAgain(): void {
    while (write()) {
      const lines = waiting.take();
      if (lines === "") return;
      rest = Buffer.from(lines);
    }
    setTimeout(tryAgain, RETRY_MS).unref();
  }

  return (lines) => {
    if (rest.length > 0) return waiting.add(lines);
    rest = Buffer.from(lines);
    if (!write()) setTimeout(tryAgain, RETRY_MS).unref();
  };
}

/** Bytes that Bun's sink takes before it writes. */
const SINK_BYTES = 16 * 1024;

/** A writer for sockets and other outputs that cannot be reopened. Bun's sink waits until they accept more. */
function sinkWriter(): LineWriter {
  const sink = Bun.stdout.writer({ highWaterMark: SINK_BYTES });
  const waiting = new BoundedLines(WAITING_MAX);
  let isBusy = false;

  function send(lines: string): void {
    try {
      const results = [sink.write(lines), sink.flush()].filter((result) => result instanceof Promise);
      if (results.length === 0) return;
      isBusy = true;
      void Promise.allSettled(results).then(sendWaiting);
    } catch {
      // The reader is closed (EPIPE).
    }
  }

  function sendWaiting(): void {
    isBusy = false;
    const lines = waiting.take();
    if (lines !== "") send(lines);
  }

  return (lines) => {
    if (isBusy) waiting.add(lines);
    else send(lines);
  };
}

/** Waiting lines up to a bound; further lines are dropped and counted. */
class BoundedLines {
  readonly #charactersMax: number;
  #lines = "";
  #dropped = 0;

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** Adds whole lines. After a dropped line, all lines are dropped until `take`, so that the gap is in one place. */
  add(lines: string): void {
    if (this.#dropped === 0 && this.#lines.length + lines.length <= this.#charactersMax) this.#lines += lines;
    else this.#dropped += lines.split("\n").length - 1;
  }

  /** The waiting lines, and a line with the number of dropped lines. */
  take(): string {
    const lines = this.#dropped === 0 ? this.#lines : this.#lines + droppedLine(this.#dropped);
    this.#lines = "";
    this.#dropped = 0;
    return lines;
  }
}

function droppedLine(count: number): string {
  const msg = "log lines were dropped here because the reader of the output had stopped";
  return `${JSON.stringify({ level: "warn", time: new Date().toISOString(), dropped_lines: count, msg })}\n`;
}
