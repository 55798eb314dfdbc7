import type { JobRecord, LedgerReads, LogRecord } from "../../../jobs/stores/ledger-reads.ts";
import { LOG_LEVELS, type LogLevel } from "../../../jobs/stores/ledger-reads.ts";
import { Turns } from "../../../std/turns.ts";
import { acceptedType } from "../../http/accepted-type.ts";
import { ApiError } from "../../http/errors.ts";
import { json } from "../../http/json-response.ts";
import { choice, integer } from "../../http/parameters.ts";
import { LOGS_EXAMPLE } from "../../openapi/schema-examples.ts";
import type { LogPage } from "../../openapi/schemas.ts";
import { type Call, type Endpoint, withQuery } from "../endpoint.ts";
import { jobOf, LIST_LIMIT } from "../job-endpoints.ts";
import { LogPages } from "./log-pages.ts";
import { logRow } from "./log-row.ts";
import {
  EVENT_STREAM,
  followLog,
  JSON_LINES,
  type LogFormat,
  type LogStreamDeps,
  type WantedStream,
} from "./log-stream.ts";

const ROW = JSON.stringify(LOGS_EXAMPLE.logs[0]);
const OFFSET_MAX = Number.MAX_SAFE_INTEGER;

/** `GET /operators/jobs/{job_id}/logs`: a page or a stream, depending on `Accept`. */
export function logsEndpoint(
  given: Omit<LogStreamDeps, "pages" | "turns"> & { readonly ledger: LedgerReads },
): Endpoint {
  const { ledger } = given;
  const turns = new Turns();
  const deps = { ...given, pages: new LogPages(ledger, given.clock), turns };
  return withQuery({
    method: "GET",
    path: "/operators/jobs/:job_id/logs",
    access: "jobs",
    doc: {
      tag: "Jobs",
      summary: "Read or follow a job's log",
      description:
        "Lists the rows in order of their offsets. While the job is not terminal, ask again with `next_offset` for " +
        "new rows. With `Accept: text/event-stream` or `application/x-ndjson` the answer is a stream: it sends the " +
        "rows from `offset` on, then new rows, until the job is terminal, and ignores `limit`. The id of an event is " +
        "the offset of its row. `Last-Event-ID` resumes an event stream, and `event: end` is its last event. A " +
        "client that reads nothing for a minute is disconnected.",
      answers: {
        200: {
          description: "A page of the log, or a stream.",
          schema: "LogPage",
          example: LOGS_EXAMPLE,
          streams: {
            [EVENT_STREAM.contentType]: `id: 0\ndata: ${ROW}\n\nevent: end\ndata: {"status":"completed"}\n\n`,
            [JSON_LINES.contentType]: `${ROW}\n`,
          },
        },
      },
      headers: {
        "Last-Event-ID": {
          schema: { type: "string" },
          description: "Id of the last event that the client received; the stream starts with the next row.",
          example: "41",
          parse: (value) => value,
        },
      },
      errors: ["JOB_NOT_FOUND"],
    },
    query: {
      offset: integer({ minimum: 0, maximum: OFFSET_MAX, fallback: 0 }, "Offset of the first row."),
      limit: integer(LIST_LIMIT, "Maximum number of rows on the page."),
      level: choice(LOG_LEVELS, "Only rows of this level or a more severe one. Default: all levels."),
    },
    answer: async (call, { offset, limit, level }) => {
      const job = await jobOf(ledger, call.params);
      const levels = level === undefined ? LOG_LEVELS : LOG_LEVELS.slice(LOG_LEVELS.indexOf(level));
      const format = formatOf(call.request);
      if (format !== undefined) {
        const { request, requireRights } = call;
        const from = Math.max(offset, resumeOffset(call));
        return streamed({ job, offset: from, levels, format, request, requireRights }, deps);
      }
      const wanted = { job, offset, limit, levels };
      return json(await pageOfLog(ledger, turns, wanted, call.request.signal));
    },
  });
}

/** The format of the stream that a client asks for; `undefined` for a page of JSON. */
export function formatOf(request: Request): LogFormat | undefined {
  const types = ["application/json", EVENT_STREAM.contentType, JSON_LINES.contentType] as const;
  const type = acceptedType(request.headers.get("accept"), types);
  return [EVENT_STREAM, JSON_LINES].find(({ contentType }) => contentType === type);
}

function streamed(wanted: WantedStream, deps: LogStreamDeps): Response {
  const { format, request } = wanted;
  const headers = { "content-type": format.contentType, "x-accel-buffering": "no" };
  if (request.method === "HEAD") return new Response(null, { headers });
  return new Response(followLog(wanted, deps), { headers });
}

/** The offset after the last event of the client; 0 without one. @throws ApiError INVALID_PAYLOAD */
function resumeOffset({ request }: Call): number {
  const last = request.headers.get("last-event-id");
  if (last === null || last === "") return 0;
  if (/^\d{1,15}$/.test(last)) return Number(last) + 1;
  throw new ApiError("INVALID_PAYLOAD", {
    details: [{ path: "/headers/last-event-id", message: "must be the id of an event: a whole number" }],
  });
}

interface WantedPage {
  readonly job: JobRecord;
  readonly offset: number;
  readonly limit: number;
  readonly levels: readonly LogLevel[];
}

/** One page. If rows of the wanted levels are rare, it is read over several turns of the event loop. */
async function pageOfLog(
  ledger: LedgerReads,
  turns: Turns,
  { job, offset, limit, levels }: WantedPage,
  signal: AbortSignal,
): Promise<LogPage> {
  const rows: LogRecord[] = [];
  let next = offset;
  for (;;) {
    const stretch = await ledger.logs(job, next, limit - rows.length, levels);
    rows.push(...stretch.rows);
    next = stretch.next;
    if (rows.length === limit || next >= job.logCount || signal.aborted) break;
    await turns.next();
  }
  return { job_id: job.jobId, logs: rows.map((row) => logRow(job, row)), next_offset: next };
}
