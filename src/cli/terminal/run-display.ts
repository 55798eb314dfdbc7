import type { App } from "../../app.ts";
import type { JobRecord, LogRecord } from "../../jobs/stores/ledger-reads.ts";
import { systemClock } from "../../std/clock.ts";
import type { CliContext } from "../context.ts";
import { Progress } from "./progress.ts";
import { type TerminalLine, terminalLine } from "./terminal-line.ts";
import { printable } from "./terminal-text.ts";

type LogLines = readonly LogRecord[];

/** The output of a running `fetchbox run`. */
interface Display {
  print(lines: LogLines): void;
  show(job: JobRecord, app: App): void;
  /** Keeps the last progress on the screen if the job is done, and removes it otherwise. */
  end(isDone: boolean): void;
}

/** The progress on a terminal that can move its cursor; elsewhere a line per event. */
export async function openDisplay(context: CliContext): Promise<Display> {
  const screen = await terminalLine(context.env);
  return screen === undefined ? plainDisplay(context) : terminalDisplay(screen);
}

/** The display for logs, pipes and terminals that cannot move the cursor. */
function plainDisplay({ out }: CliContext): Display {
  return { print: (lines) => lines.forEach((line) => out(`${eventText(line)}\n`)), show: () => {}, end: () => {} };
}

/** Failures scroll by; the job and its downloads stay at the bottom. */
function terminalDisplay(screen: TerminalLine): Display {
  const progress = new Progress();
  return {
    print(lines) {
      const problems = lines.filter(({ level }) => level !== "info");
      if (problems.length === 0) return;
      screen.clear();
      for (const line of problems) process.stdout.write(`${eventText(line)}\n`);
    },
    show(job, { active }) {
      const { rows = 24, columns = 80 } = process.stdout;
      const state = {
        job,
        active: active.list(),
        bytesReceived: active.bytesReceived,
        now: systemClock.monotonic(),
      };
      screen(progress.render(state, rows, columns).join("\n"));
    },
    end(isDone) {
      if (!isDone) screen.clear();
      screen.done();
    },
  };
}

function eventText({ at, level, message, resourceId, fields }: LogLines[number]): string {
  const time = new Date(at).toISOString().slice(11, 19);
  const details = Object.entries(JSON.parse(fields) as Record<string, string | number>)
    .filter(([name]) => name !== "task_id")
    .map(([name, value]) => `${name}=${printable(String(value))}`);
  const subject = resourceId === null ? [] : [printable(resourceId)];
  return [time, level.padEnd(5), ...subject, printable(message), ...details].join(" ");
}
