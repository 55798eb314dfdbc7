import type { LogPage } from "../../api/openapi/schemas.ts";
import { delay, systemClock } from "../../std/clock.ts";
import { WorkFailedError } from "../exit-code.ts";
import { secondText } from "../terminal/moments.ts";
import { jsonLine, printable } from "../terminal/terminal-text.ts";
import { UnreachableError } from "./remote-client.ts";
import type { Remote, RemoteFlags } from "./remote-context.ts";

export interface LogsFlags extends RemoteFlags {
  readonly follow?: true;
  readonly level?: string;
}

type LogRow = LogPage["logs"][number];

const PAGE = 1000;
const AGAIN_MS = 1000;
/** Most attempts in a row to reopen a broken stream without a new row. */
const TRIES = 5;

/** Prints a job's log up to its latest row, or with `--follow` up to the job's end. */
export async function showLogs(jobId: string, flags: LogsFlags, remote: Remote): Promise<void> {
  const path = `/operators/jobs/${encodeURIComponent(jobId)}/logs`;
  const print = (row: LogRow) => remote.out(flags.json === true ? jsonLine(row) : rowText(row));
  if (flags.follow === true) return await follow(path, flags.level, print, remote);
  for (let offset = 0; ; ) {
    const page = await remote.client.get<LogPage>(path, { offset, limit: PAGE, level: flags.level });
    for (const row of page.logs) print(row);
    if (page.logs.length < PAGE) return;
    offset = page.next_offset;
  }
}

/** Continues at the next row after a broken connection, because a restart of the service does not end the log. */
async function follow(
  path: string,
  level: string | undefined,
  print: (row: LogRow) => void,
  { client }: Remote,
): Promise<void> {
  let next = 0;
  let hasAnswered = false;
  for (let tries = 0; ; tries++) {
    try {
      const response = await client.follow(path, { offset: next, level }, "text/event-stream");
      hasAnswered = true;
      for await (const { event, data } of eventsOf(response)) {
        if (event === "end") return;
        const row = JSON.parse(data) as LogRow;
        print(row);
        next = row.offset + 1;
        tries = 0;
      }
    } catch (error) {
      if (error instanceof WorkFailedError && !(error instanceof UnreachableError)) throw error;
      if (!hasAnswered || tries >= TRIES) throw error;
    }
    await delay(systemClock, AGAIN_MS, new AbortController().signal);
  }
}

async function* eventsOf({ body }: Response): AsyncGenerator<{ event?: string | undefined; data: string }> {
  if (body === null) return;
  const { EventSourceParserStream } = await import("eventsource-parser/stream");
  yield* body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
}

function rowText({ timestamp, level, message, resource_id, fields }: LogRow): string {
  const details = Object.entries(fields)
    .filter(([name]) => name !== "task_id")
    .map(([name, value]) => `${name}=${printable(String(value))}`);
  const subject = resource_id === null ? [] : [printable(resource_id)];
  return `${[secondText(timestamp), level.padEnd(5), ...subject, printable(message), ...details].join(" ")}\n`;
}
