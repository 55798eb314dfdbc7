import { constants, fstatSync, openSync, type Stats, writeSync } from "node:fs";

/** Where lines go. */
export interface LogDestination {
  /** Takes one line of JSON with its line break; must not throw. */
  write(line: string): void;
  readonly isTerminal: boolean;
}

/** Characters that wait, at most, for a reader that takes nothing. */
const WAITING_MAX = 1024 * 1024;
/** Characters that are written at once. */
const GATHERED_MAX = 16 * 1024;
/** How a line begins that can wait until the event loop turns. */
const INFO = '{"level":"info"';
const STDOUT = 1;

/**
 * Standard output for the log. Lines are with the system before the event loop turns, so that a killed process has lost
 * none that anybody could know of. It never waits: where the reader stands still (a stopped journald, a pipe to
 * `less`), up to 1 MiB of lines wait in memory, further ones are dropped, and a line tells how many once somebody reads
 * again. A reader that went away, or a full disk, does not end the process.
 */
export function standardOutput(): LogDestination {
  const writer = writerFor(STDOUT);
  let gathered = "";
  const flush = () => {
    const lines = gathered;
    gathered = "";
    if (lines !== "") writer(lines);
  };
  process.on("exit", flush);
  return {
    write(line) {
      // Many tasks end with one commit: their lines are one write. A problem is told before anybody has its answer.
      if (gathered === "") setImmediate(flush);
      gathered += line;
      if (gathered.length > GATHERED_MAX || !line.startsWith(INFO)) flush();
    },
    isTerminal: process.stdout.isTTY === true,
  };
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
 * A descriptor of our own for the same pipe or terminal, whose writes never wait: the flag on the shared one would be
 * everybody's. Only Linux has that; `undefined` elsewhere.
 */
function reopened(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

/** A file takes what it is given, or fails at once. */
function fileWriter(): LineWriter {
  return (lines) => {
    try {
      writeSync(STDOUT, lines);
    } catch {
      // The disk is full; there is nowhere to say so.
    }
  };
}

/** After a write that would have waited, the next one is tried after so many milliseconds. */
const TRY_AGAIN_MS = 20;

/** Pipes and terminals: takes up what the reader left after a moment. */
function unblockedWriter(fd: number): LineWriter {
  const waiting = new BoundedLines(WAITING_MAX);
  let rest: Uint8Array = new Uint8Array(0);

  /** True once all is written, or can never be. */
  function write(): boolean {
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as { code?: unknown }).code === "EAGAIN") return false;
      rest = new Uint8Array(0); // a reader that went away (EPIPE)
    }
    return true;
  }

  function tryAgain(): void {
    while (write()) {
      const lines = waiting.take();
      if (lines === "") return;
      rest = Buffer.from(lines);
    }
    setTimeout(tryAgain, TRY_AGAIN_MS).unref();
  }

  return (lines) => {
    if (rest.length > 0) return waiting.add(lines);
    rest = Buffer.from(lines);
    if (!write()) setTimeout(tryAgain, TRY_AGAIN_MS).unref();
  };
}

/**
 * Sockets, and whatever cannot be opened anew. Bun's sink writes what they take at once, and hears when they take more.
 */
function sinkWriter(): LineWriter {
  const sink = Bun.stdout.writer({ highWaterMark: GATHERED_MAX });
  const waiting = new BoundedLines(WAITING_MAX);
  let isBusy = false;

  function send(lines: string): void {
    try {
      const results = [sink.write(lines), sink.flush()].filter((result) => result instanceof Promise);
      if (results.length === 0) return;
      isBusy = true;
      void Promise.allSettled(results).then(sendWaiting);
    } catch {
      // A reader that went away (EPIPE).
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

/** Lines that wait, up to a bound; what comes after that is dropped and counted. */
class BoundedLines {
  readonly #charactersMax: number;
  #lines = "";
  #dropped = 0;

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  /** Takes whole lines. Once one was dropped, all are until `take`, so that the gap is in one place. */
  add(lines: string): void {
    if (this.#dropped === 0 && this.#lines.length + lines.length <= this.#charactersMax) this.#lines += lines;
    else this.#dropped += lines.split("\n").length - 1;
  }

  /** What waits, and how many lines are missing behind it. */
  take(): string {
    const lines = this.#dropped === 0 ? this.#lines : this.#lines + droppedLine(this.#dropped);
    this.#lines = "";
    this.#dropped = 0;
    return lines;
  }
}

function droppedLine(count: number): string {
  const msg = "log lines were dropped here, because nobody read the output";
  return `${JSON.stringify({ level: "warn", time: new Date().toISOString(), dropped_lines: count, msg })}\n`;
}
