import { isFinished } from "../../jobs/job.ts";
import type { JobRecord, LedgerReads, QueuedTask, ResultRecord } from "../../jobs/stores/ledger-reads.ts";
import type { QueueControl } from "../../jobs/stores/queue-control.ts";
import { TASK_STATES, type TaskState } from "../../jobs/task.ts";
import { publicUrl } from "../../net/public-url.ts";
import { cursorParameter, formatCursor, pageOf } from "../http/cursor.ts";
import { isoTime, isoTimeOrNull } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { choice, integer } from "../http/parameters.ts";
import { RESOURCE_EXAMPLE } from "../openapi/schema-examples.ts";
import type { ResourceRow } from "../openapi/schemas.ts";
import { attemptRow } from "./attempt-row.ts";
import { type Endpoint, withQuery } from "./endpoint.ts";
import { jobOf, LIST_LIMIT } from "./job-endpoints.ts";

interface Row {
  readonly task: number;
  /** Absent while the ledger lags behind the queue and does not have the result yet. */
  readonly row: ResourceRow | undefined;
}

/** `GET /operators/jobs/{job_id}/resources`. Finished tasks are read from the ledger, the others from the queue. */
export function resourcesEndpoint(ledger: LedgerReads, control: Pick<QueueControl, "tasksOfJob">): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/jobs/:job_id/resources",
    access: "jobs",
    doc: {
      tag: "Jobs",
      summary: "List the resources of a job",
      description: "Lists one row per resource, in the order of their tasks, waiting and running ones included.",
      answers: {
        200: {
          description: "A page of resources.",
          schema: "ResourceList",
          example: { resources: [RESOURCE_EXAMPLE], next_cursor: null },
        },
      },
      errors: ["JOB_NOT_FOUND"],
    },
    query: {
      state: choice(TASK_STATES, "Only resources in this state."),
      limit: integer(LIST_LIMIT, "Maximum number of resources on the page."),
      cursor: cursorParameter("resources"),
    },
    answer: async ({ params }, { state, limit, cursor }) => {
      const job = await jobOf(ledger, params);
      const rows = await readRows(ledger, control, { job, state, afterTask: cursor ?? 0, limit: limit + 1 });
      const { page, next_cursor } = pageOf(rows, limit, ({ task }) => formatCursor("resources", task));
      return json({ resources: page.flatMap(({ row }) => row ?? []), next_cursor });
    },
  });
}

interface WantedRows {
  readonly job: JobRecord;
  /** `undefined`: rows of every state. */
  readonly state: TaskState | undefined;
  readonly afterTask: number;
  readonly limit: number;
}

async function readRows(
  ledger: LedgerReads,
  control: Pick<QueueControl, "tasksOfJob">,
  { job, state, afterTask, limit }: WantedRows,
): Promise<Row[]> {
  if (state === "completed" || state === "failed" || state === "cancelled") {
    return (await ledger.results(job, afterTask, limit, state)).map(endedRow);
  }
  // The queue forgets a finished job long before the ledger does.
  if (state === undefined && isFinished(job.status)) return (await ledger.results(job, afterTask, limit)).map(endedRow);
  const states = state === undefined ? TASK_STATES : [state];
  const tasks = await control.tasksOfJob({ job, afterId: afterTask, limit }, states);
  return Promise.all(
    tasks.map(async (queued) => {
      if (queued.task !== undefined) return { task: queued.id, row: liveRow(queued, queued.task) };
      const result = await ledger.result(queued.id);
      return result === undefined ? { task: queued.id, row: undefined } : endedRow(result);
    }),
  );
}

function endedRow(result: ResultRecord): Row {
  return {
    task: result.task,
    row: {
      resource_id: result.resourceId,
      url: publicUrl(result.url),
      final_url: result.finalUrl === null ? null : publicUrl(result.finalUrl),
      state: result.state,
      attempts: result.attempts,
      http_status: result.httpStatus,
      bytes: result.bytes,
      integrity: result.integrity,
      sha256: result.sha256,
      // Local storage has no ETag.
      etag: result.etag === "" ? null : result.etag,
      content_type: result.contentType,
      content_encoding: result.contentEncoding,
      storage_key: result.storageUrl,
      error: result.errorCode === null ? null : { code: result.errorCode, message: result.errorMessage ?? "" },
      history: result.history.map(attemptRow),
      started_at: isoTimeOrNull(result.startedAt),
      finished_at: isoTime(result.finishedAt),
    },
  };
}

function liveRow({ state, attempts, history }: QueuedTask, task: NonNullable<QueuedTask["task"]>): ResourceRow {
  const latest = history.at(-1);
  return {
    resource_id: task.resourceId,
    url: publicUrl(task.url),
    final_url: null,
    state,
    attempts,
    http_status: latest?.httpStatus ?? null,
    bytes: null,
    integrity: null,
    sha256: null,
    etag: null,
    content_type: null,
    content_encoding: null,
    storage_key: null,
    error: latest === undefined ? null : { code: latest.code, message: latest.message },
    history: history.map(attemptRow),
    started_at: latest === undefined ? null : isoTime(latest.startedAt),
    finished_at: null,
  };
}
