import type {
  DeadLetterFilter,
  DeadLetterReads,
  DeadLetterRecord,
  FullDeadLetter,
} from "../../jobs/stores/dead-letter-reads.ts";
import { publicUrl } from "../../net/public-url.ts";
import { acceptedType } from "../http/accepted-type.ts";
import { cursorParameter, formatCursor, pageOf } from "../http/cursor.ts";
import { ApiError } from "../http/errors.ts";
import { isoTime } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { integer, nameParameter, text, time, type Values } from "../http/parameters.ts";
import { DEAD_LETTER_EXAMPLE, HISTORY_EXAMPLE } from "../openapi/schema-examples.ts";
import type { DeadLetterDetail, DeadLetterRow } from "../openapi/schemas.ts";
import { attemptRow } from "./attempt-row.ts";
import { type Endpoint, withQuery } from "./endpoint.ts";
import { LIST_LIMIT } from "./job-endpoints.ts";
import { DEAD_LETTER_LINES, type DeadLetterStreamDeps, deadLetterStreams } from "./streams/dead-letter-stream.ts";

const CODE = /^[A-Z0-9_]{1,64}$/;
const HOST = /^[!-~]{1,261}$/;
const JOB_ID = /^[0-9a-fA-F-]{36}$/;

/** The filter of dead letters, in a query and in the body of a replay. */
export const DEAD_LETTER_FILTER = {
  code: text(
    CODE,
    "must be a failure code: 1 to 64 of A-Z, 0-9 and '_'",
    "Only dead letters with this failure code.",
    "DOWNLOAD_HTTP_404",
  ),
  host: text(
    HOST,
    "must be a host, with its port unless it is the default of the scheme",
    "Only dead letters of this host, with its port unless it is the default of the scheme.",
    "cdn.example.com",
  ),
  job_id: text(JOB_ID, "must be a job id: a UUID", "Only dead letters of this job.", DEAD_LETTER_EXAMPLE.job_id),
  job_type: nameParameter("Only dead letters of jobs of this type.", "default"),
  tenant: nameParameter("Only dead letters of jobs of this tenant.", "default"),
  since: time("Only tasks that failed at this time or later."),
  until: time("Only tasks that failed before this time."),
};

export function filterOf(values: Values<typeof DEAD_LETTER_FILTER>): DeadLetterFilter {
  const { code, host, job_id: jobId, job_type: jobType, tenant, since, until } = values;
  return { code, host: host?.toLowerCase(), jobId: jobId?.toLowerCase(), jobType, tenant, since, until };
}

export function deadLetterEndpoints(
  deadLetters: DeadLetterReads,
  discard: (deadLetter: FullDeadLetter) => Promise<boolean>,
  stream: DeadLetterStreamDeps,
): Endpoint[] {
  return [listDeadLetters(deadLetters, stream), readDeadLetter(deadLetters), discardDeadLetter(deadLetters, discard)];
}

function listDeadLetters(deadLetters: DeadLetterReads, deps: DeadLetterStreamDeps): Endpoint {
  const streamed = deadLetterStreams(deadLetters, rowOf, deps);
  return withQuery({
    method: "GET",
    path: "/operators/dlq",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "List dead letters",
      description:
        "Lists the tasks that failed permanently by task id, the newest task first. With `Accept: " +
        `${DEAD_LETTER_LINES}\` the answer is a stream of all that match, one line each, and ignores \`limit\`. ` +
        "No dead letter comes twice. A client that reads nothing for a minute is disconnected.",
      answers: {
        200: {
          description: "A page of dead letters, or a stream.",
          schema: "DeadLetterList",
          example: { entries: [DEAD_LETTER_EXAMPLE], next_cursor: null },
          streams: { [DEAD_LETTER_LINES]: `${JSON.stringify(DEAD_LETTER_EXAMPLE)}\n` },
        },
      },
    },
    query: {
      ...DEAD_LETTER_FILTER,
      limit: integer(LIST_LIMIT, "Maximum number of dead letters on the page."),
      cursor: cursorParameter("dlq"),
    },
    answer: async ({ request, requireRights }, { limit, cursor, ...given }) => {
      const filter = filterOf(given);
      const before = cursor ?? Number.MAX_SAFE_INTEGER;
      const type = acceptedType(request.headers.get("accept"), ["application/json", DEAD_LETTER_LINES]);
      if (type === DEAD_LETTER_LINES) return streamed({ filter, before, request, requireRights });
      const rows = await deadLetters.list(filter, before, limit + 1);
      const { page, next_cursor } = pageOf(rows, limit, ({ task }) => formatCursor("dlq", task));
      return json({ entries: page.map(rowOf), next_cursor });
    },
  });
}

function readDeadLetter(deadLetters: DeadLetterReads): Endpoint {
  return {
    method: "GET",
    path: "/operators/dlq/:task_id",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "Read a dead letter with its attempts",
      description:
        "The field `history` shows the failed attempts: time, failure code, HTTP status, proxy and duration.",
      answers: {
        200: {
          description: "The dead letter.",
          schema: "DeadLetterDetail",
          example: { ...DEAD_LETTER_EXAMPLE, history: [HISTORY_EXAMPLE] },
        },
      },
      errors: ["DLQ_ENTRY_NOT_FOUND"],
    },
    answer: async ({ params }) => {
      const letter = await deadLetterOf(deadLetters, params);
      const body: DeadLetterDetail = { ...rowOf(letter), history: letter.history.map(attemptRow) };
      return json(body);
    },
  };
}

function discardDeadLetter(
  deadLetters: DeadLetterReads,
  discard: (deadLetter: FullDeadLetter) => Promise<boolean>,
): Endpoint {
  return {
    method: "DELETE",
    path: "/operators/dlq/:task_id",
    access: "operator",
    doc: {
      tag: "Dead letters",
      summary: "Discard a dead letter",
      description: "Its task stays failed and cannot be replayed any more.",
      answers: { 204: { description: "The dead letter was discarded.", empty: true } },
      errors: ["DLQ_ENTRY_NOT_FOUND", "DISK_FULL"],
    },
    answer: async ({ params, recordActivity }) => {
      const deadLetter = await deadLetterOf(deadLetters, params);
      if (!(await discard(deadLetter))) throw new ApiError("DLQ_ENTRY_NOT_FOUND");
      recordActivity({ action: "discard", target: `task_ids=${deadLetter.task}`, count: 1 });
      return new Response(null, { status: 204 });
    },
  };
}

/** The dead letter of a path. @throws ApiError DLQ_ENTRY_NOT_FOUND */
async function deadLetterOf(
  deadLetters: DeadLetterReads,
  params: Readonly<Record<string, string>>,
): Promise<FullDeadLetter> {
  const id = params.task_id ?? "";
  const letter = /^\d{1,15}$/.test(id) ? await deadLetters.find(Number(id)) : undefined;
  if (letter === undefined) throw new ApiError("DLQ_ENTRY_NOT_FOUND");
  return letter;
}

function rowOf(letter: DeadLetterRecord): DeadLetterRow {
  return {
    task_id: letter.task,
    job_id: letter.jobId,
    job_type: letter.jobType,
    tenant: letter.tenant,
    resource_id: letter.resourceId,
    url: publicUrl(letter.url),
    failure_code: letter.code,
    failure_message: letter.message,
    attempts: letter.attempts,
    failed_at: isoTime(letter.failedAt),
  };
}
