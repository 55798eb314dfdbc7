import { type Static, Type } from "@sinclair/typebox";
import { VIOLATIONS_MAX } from "../../intake/intake-error.ts";
import { JOB_STATUSES, PRIORITIES } from "../../jobs/job.ts";
import { BULK_OPERATION_KINDS, BULK_OPERATION_STATES } from "../../jobs/stores/dead-letter-changes.ts";
import { GROUPINGS } from "../../jobs/stores/dead-letter-reads.ts";
import { LOG_LEVELS } from "../../jobs/stores/ledger-reads.ts";
import { INTEGRITIES, TASK_STATES } from "../../jobs/task.ts";
import {
  type AttemptSchema,
  attempts,
  closed,
  count,
  failureCode,
  failureMessage,
  history,
  jobId,
  jobType,
  manifestKey,
  nextCursor,
  oneOf,
  orNull,
  resourceId,
  tenant,
  time,
  timeOrNull,
  url,
} from "./schema-parts.ts";

// The shapes of the answers, each declared once: the types of the endpoints and the components of the document.

/** Most failures that a job's snapshot lists. */
export const SNAPSHOT_ERRORS_MAX = 100;
/** Most groups that an analysis lists. */
export const ANALYSIS_GROUPS_MAX = 1000;

export const ErrorSchema = closed(
  {
    code: Type.String({ description: "Error code, for programs. It does not change between versions." }),
    message: Type.String({ description: "Cause of the error and remedy, for people. The wording may change." }),
    request_id: Type.String({ description: "Id of the request in the service's log, also in `X-Request-Id`." }),
    details: Type.Array(
      closed(
        {
          path: Type.String({
            description:
              "Place of the violation: a JSON pointer (RFC 6901) into the body, `/query/NAME` or `/headers/NAME`.",
          }),
          message: Type.String({ description: "The rule that the value violates." }),
        },
        "One violation of a rule.",
      ),
      {
        maxItems: VIOLATIONS_MAX,
        description: `The violations of an invalid request, at most ${VIOLATIONS_MAX}; empty for other errors.`,
      },
    ),
  },
  "The shape of every error.",
);

export const AcceptedSchema = closed(
  {
    job_id: jobId,
    status: Type.Literal("queued", { description: "Status of the new job." }),
    manifest_key: manifestKey,
    resource_count: count("Number of download tasks that the handler made of the manifest."),
  },
  "A job that was accepted and is stored durably.",
);

export const JobSchema = closed(
  {
    job_id: jobId,
    job_type: jobType,
    tenant,
    priority: oneOf(PRIORITIES, "Priority of its tasks."),
    trace_id: Type.String({ description: "W3C trace id of the job, 32 hexadecimal digits." }),
    status: oneOf(
      JOB_STATUSES,
      "`queued`: no task has started. `in_progress`: tasks wait or run. `completed`: all resources are stored. " +
        "`partial`: some failed. `failed`: all failed. `cancelled`: the job was cancelled. The last four are terminal.",
    ),
    resource_total: count("Number of tasks."),
    resource_completed: count("Number of tasks whose object is stored."),
    resource_failed: count("Number of tasks that failed permanently."),
    resource_cancelled: count("Number of tasks that were cancelled."),
    bytes_stored: count("Total size of the stored objects in bytes."),
    manifest_key: manifestKey,
    created_at: time("Time at which the job was accepted."),
    updated_at: time("Time of the job's last change."),
    completed_at: timeOrNull("Time at which the job became terminal.", "Null before."),
    rate: orNull(
      Type.Number({ minimum: 0 }),
      "Objects stored per second now; null if no task of the job ended lately, and once the job is terminal.",
    ),
    eta_seconds: orNull(Type.Integer({ minimum: 0 }), "Estimated seconds until the job's end; null with `rate`."),
    log_count: count("Number of rows in the job's log."),
    errors: Type.Array(
      closed(
        {
          resource_id: resourceId,
          code: failureCode,
          message: failureMessage,
          attempts,
          timestamp: time("Time of the permanent failure."),
        },
        "A resource that failed permanently.",
      ),
      { maxItems: SNAPSHOT_ERRORS_MAX, description: `The first failures, at most ${SNAPSHOT_ERRORS_MAX}.` },
    ),
    errors_truncated: Type.Boolean({ description: "True if the job has more failures than `errors` lists." }),
  },
  "The current state of a job.",
);

/** The stored manifest: that of the client, with a member `fetchbox` that names the job. */
export const StoredManifestSchema = Type.Object(
  { manifest_version: Type.Literal("v1", { description: "Version of the format." }) },
  { additionalProperties: true, description: "The stored manifest, with the member `fetchbox` that names the job." },
);

export const JobListSchema = closed(
  { jobs: Type.Array(JobSchema, { description: "The jobs, newest first." }), next_cursor: nextCursor },
  "A page of jobs.",
);

const ResourceSchema = closed(
  {
    resource_id: resourceId,
    url,
    final_url: orNull(Type.String(), "URL after redirects, without user name and password; null if it is not stored."),
    state: oneOf(
      TASK_STATES,
      "`pending`: waits for its first attempt. `running`: being downloaded. `retrying`: waits for its next attempt. " +
        "`completed`: stored. `failed`: failed permanently. `cancelled`: cancelled with its job.",
    ),
    attempts,
    http_status: orNull(Type.Integer(), "HTTP status of the latest answer; null without an answer."),
    bytes: orNull(Type.Integer(), "Size of the stored object in bytes; null if it is not stored."),
    integrity: orNull(
      oneOf(INTEGRITIES, "Proof that the object is complete."),
      "Proof that the object is complete. `verified`: download and stored copy were both checked. `size`: the storage " +
        "confirmed only the size of its copy. `unverified`: only the end of the connection marked the end of the " +
        "download; a `checksum` or `size` in the manifest avoids that. Null if it is not stored.",
    ),
    sha256: orNull(Type.String(), "SHA-256 of the stored object, 64 hexadecimal digits; null if it is not stored."),
    etag: orNull(Type.String(), "ETag of the object in S3, without quotes; null with local storage."),
    content_type: orNull(Type.String(), "Media type of the stored object; null if unknown."),
    content_encoding: orNull(
      Type.String(),
      "Content codings of the stored bytes, like `gzip`, if the origin used one without being asked; else null.",
    ),
    storage_key: orNull(Type.String(), "URL of the stored object: `s3://` or `file://`; null if it is not stored."),
    error: orNull(
      closed({ code: failureCode, message: failureMessage }, "A failure."),
      "The latest failure; null without one, and once the object is stored.",
    ),
    history,
    started_at: timeOrNull("Start of the latest attempt that ended.", "Null before."),
    finished_at: timeOrNull("Time at which the resource became `completed`, `failed` or `cancelled`.", "Null before."),
  },
  "One resource of a job.",
);

export const ResourceListSchema = closed(
  {
    resources: Type.Array(ResourceSchema, { description: "The resources, in the order of their tasks." }),
    next_cursor: nextCursor,
  },
  "A page of a job's resources.",
);

export const LogPageSchema = closed(
  {
    job_id: jobId,
    logs: Type.Array(
      closed(
        {
          offset: count("Position in the job's log; the first row has 0."),
          timestamp: time("Time of the event."),
          level: oneOf(LOG_LEVELS, "Severity."),
          message: Type.String({ description: "The event, for people." }),
          resource_id: orNull(Type.String(), "Id of the resource concerned; null for an event of the whole job."),
          trace_id: Type.String({ description: "W3C trace id of the job, 32 hexadecimal digits." }),
          fields: Type.Unsafe<Record<string, unknown>>(
            Type.Object({}, { additionalProperties: true, description: "Further data of the event." }),
          ),
        },
        "One row of the log.",
      ),
      { description: "The rows, in order of their offsets." },
    ),
    next_offset: count("Value of the parameter `offset` for the next page, also if there are no more rows yet."),
  },
  "A page of a job's log.",
);

const taskId = Type.Integer({ description: "Id of the task, a sequential number." });

const DEAD_LETTER = {
  task_id: taskId,
  job_id: jobId,
  job_type: jobType,
  tenant,
  resource_id: resourceId,
  url,
  failure_code: failureCode,
  failure_message: failureMessage,
  attempts,
  failed_at: time("Time of the permanent failure."),
};

const DeadLetterSchema = closed(DEAD_LETTER, "A dead letter: a task that failed permanently.");

export const DeadLetterListSchema = closed(
  {
    entries: Type.Array(DeadLetterSchema, { description: "The dead letters, newest task first." }),
    next_cursor: nextCursor,
  },
  "A page of dead letters.",
);

export const AnalysisSchema = closed(
  {
    by: oneOf(GROUPINGS, "Property that the dead letters are grouped by."),
    total: count("Number of dead letters that match the filter."),
    groups: Type.Array(
      closed(
        {
          key: Type.String({
            description: "Value that the dead letters of the group share, like `DOWNLOAD_HTTP_404`.",
          }),
          count: count("Number of dead letters in the group."),
          share: Type.Number({ minimum: 0, maximum: 1, description: "Fraction of `total`, from 0 to 1." }),
          first_seen: time("Time of the group's earliest permanent failure."),
          last_seen: time("Time of the group's latest permanent failure."),
          sample_task_id: Type.Integer({ description: "Id of one of the group's latest tasks." }),
        },
        "Dead letters with the same value.",
      ),
      {
        maxItems: ANALYSIS_GROUPS_MAX,
        description: `At most ${ANALYSIS_GROUPS_MAX} groups, the largest first; days are sorted by date, the latest first.`,
      },
    ),
    groups_truncated: Type.Boolean({ description: "True if there are more groups than `groups` lists." }),
  },
  "Dead letters, counted in groups.",
);

export const DeadLetterDetailSchema = closed({ ...DEAD_LETTER, history }, "A dead letter with its attempts.");

export const OperationSchema = closed(
  {
    operation_id: Type.Integer({ description: "Id of the operation, a sequential number." }),
    kind: oneOf(BULK_OPERATION_KINDS, "`replay`: dead letters are tried again. `give_up`: they are discarded."),
    status: oneOf(
      BULK_OPERATION_STATES,
      "`running`: not finished yet. `completed`: all matching dead letters were processed. `stopped`: a client stopped " +
        "it. `failed`: an error ended it; `error` has the cause.",
    ),
    filter: Type.Unsafe<Record<string, string>>(
      Type.Object(
        {},
        { additionalProperties: Type.String(), description: "Filter that selects the dead letters, as in the list." },
      ),
    ),
    rate_per_second: orNull(Type.Number(), "Tasks that become due per second; null: all become due at once."),
    matched: count("Number of dead letters that matched at the start."),
    met: count("Number of dead letters processed so far."),
    changed: count("Number of dead letters replayed or discarded so far. The others were gone already."),
    started_at: time("Start of the operation."),
    started_by: orNull(Type.String(), "Name of the token that started the operation; null if it is unknown."),
    finished_at: timeOrNull("End of the operation.", "Null while it runs."),
    error: orNull(Type.String(), "Cause of the failure, for people; null without a failure."),
  },
  "A replay or a discard by filter, which runs in the background.",
);

export const OperationListSchema = closed(
  { operations: Type.Array(OperationSchema, { description: "The operations, newest first." }) },
  "The operations on dead letters.",
);

export type AttemptRow = Static<typeof AttemptSchema>;
export type JobSnapshot = Static<typeof JobSchema>;
export type ResourceRow = Static<typeof ResourceSchema>;
export type LogPage = Static<typeof LogPageSchema>;
export type Analysis = Static<typeof AnalysisSchema>;
export type DeadLetterRow = Static<typeof DeadLetterSchema>;
export type OperationRow = Static<typeof OperationSchema>;
export type DeadLetterDetail = Static<typeof DeadLetterDetailSchema>;
