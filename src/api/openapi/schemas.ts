import { type Static, type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { VIOLATIONS_MAX } from "../../intake/intake-error.ts";
import { HOST_STATES } from "../../jobs/host-view.ts";
import { JOB_STATUSES } from "../../jobs/job.ts";
import { LIMIT_CAUSES } from "../../jobs/queue-limit.ts";
import { BULK_OPERATION_KINDS, BULK_OPERATION_STATES } from "../../jobs/stores/dead-letter-changes.ts";
import { GROUPINGS } from "../../jobs/stores/dead-letter-reads.ts";
import { LOG_LEVELS } from "../../jobs/stores/ledger-reads.ts";
import { INTEGRITIES, TASK_STATES } from "../../jobs/task.ts";
import { HEALTH_COMPONENTS, HEALTH_STATUSES } from "../../telemetry/health.ts";

/** Failures that a job's snapshot lists. */
export const SNAPSHOT_ERRORS_MAX = 100;
/** Groups that an analysis lists. */
export const ANALYSIS_GROUPS_MAX = 1000;
/** Hosts that the queue's report lists. */
export const BUSIEST_HOSTS_MAX = 20;

/** What the API answers, each shape once: the types of the answers and the document's components. */
function closed<T extends TProperties>(properties: T, description: string) {
  return Type.Object(properties, { additionalProperties: false, description });
}

function oneOf<T extends string>(words: readonly T[], description: string) {
  return Type.Union(
    words.map((word) => Type.Literal(word)),
    { description },
  );
}

function orNull<T extends TSchema>(schema: T, description: string) {
  return Type.Union([schema, Type.Null()], { description });
}

function count(description: string) {
  return Type.Integer({ minimum: 0, description });
}

function time(description: string) {
  return Type.String({ description: `${description} RFC 3339, UTC.`, examples: ["2026-11-23T12:00:00.000Z"] });
}

const AttemptSchema = closed(
  {
    started_at: time("When it began."),
    duration_ms: count("How long it took; 0 where it ended with the process (`TASK_INTERRUPTED`)."),
    code: Type.String({ description: "Failure code." }),
    message: Type.String(),
    http_status: orNull(Type.Integer(), "Of the answer, where there was one."),
    address: orNull(Type.String(), "What was connected to."),
    proxy: orNull(Type.String(), "The proxy it went through."),
    bytes: count("Bytes of the body that came."),
    body_start: orNull(Type.String(), "How a body began that was not what it should be: at most 512 bytes, hex."),
  },
  "An attempt that failed.",
);
const history = Type.Array(AttemptSchema, { description: "Attempts that failed: the first and the latest 19." });

const nextCursor = orNull(Type.String(), "`cursor` of the next page; null on the last one.");

export const ErrorSchema = closed(
  {
    code: Type.String({ description: "What it is, for programs." }),
    message: Type.String({ description: "What it is and what to do, for people." }),
    request_id: Type.String({ description: "Names the request in the service's log." }),
    details: Type.Array(
      closed(
        {
          path: Type.String({ description: "JSON pointer (RFC 6901) to the place." }),
          message: Type.String({ description: "The broken rule." }),
        },
        "One broken rule.",
      ),
      { maxItems: VIOLATIONS_MAX, description: "Every broken rule, as far as there is room." },
    ),
  },
  "The shape of every error.",
);

export const AcceptedSchema = closed(
  {
    job_id: Type.String({ description: "UUIDv7." }),
    status: Type.Literal("queued"),
    manifest_key: Type.String({ description: "URL of the stored manifest." }),
    resource_count: count("Tasks after the handler's expansion."),
  },
  "A job that is durably queued.",
);

export const JobSchema = closed(
  {
    job_id: Type.String(),
    job_type: Type.String({ description: "The handler's name." }),
    tenant: Type.String(),
    status: oneOf(JOB_STATUSES, "completed: all stored; partial: some failed; failed: all failed."),
    resource_total: count("Tasks in all."),
    resource_completed: count("Tasks whose object is stored."),
    resource_failed: count("Tasks that failed for good."),
    resource_cancelled: count("Tasks that were cancelled."),
    bytes_stored: count("Bytes of the stored objects."),
    manifest_key: Type.String({ description: "URL of the stored manifest." }),
    created_at: time("When it was accepted."),
    updated_at: time("When it last changed."),
    completed_at: orNull(Type.String(), "When it became terminal. RFC 3339, UTC."),
    log_count: count("Rows of its log."),
    errors: Type.Array(
      closed(
        {
          resource_id: Type.String(),
          code: Type.String({ description: "Failure code." }),
          message: Type.String(),
          attempts: count("Attempts spent."),
          timestamp: time("When it failed for good."),
        },
        "A resource that failed for good.",
      ),
      { maxItems: SNAPSHOT_ERRORS_MAX, description: "The first failures." },
    ),
    errors_truncated: Type.Boolean({ description: "There are more failures than `errors` lists." }),
  },
  "A job as it is now.",
);

export const JobListSchema = closed({ jobs: Type.Array(JobSchema), next_cursor: nextCursor }, "Jobs, newest first.");

const ResourceSchema = closed(
  {
    resource_id: Type.String(),
    url: Type.String({ description: "Without userinfo." }),
    final_url: orNull(Type.String(), "Where redirects led to."),
    state: oneOf(TASK_STATES, "retrying: waits to be tried again."),
    attempts: count("Attempts spent."),
    http_status: orNull(Type.Integer(), "Of the latest answer."),
    bytes: orNull(Type.Integer(), "Size of the object."),
    integrity: orNull(
      oneOf(INTEGRITIES, "How it is known to be whole."),
      "unverified: nothing but the end of the connection said so; a checksum or size in the manifest would. size: the storage proved no more of its copy than its size.",
    ),
    sha256: orNull(Type.String(), "Hex."),
    etag: orNull(Type.String(), "As the storage gave it, without quotes."),
    content_type: orNull(Type.String(), "Of the object."),
    content_encoding: orNull(
      Type.String(),
      "Codings that the origin used though none was asked for, like gzip: the stored bytes have them.",
    ),
    storage_key: orNull(Type.String(), "URL of the object."),
    error: orNull(
      closed({ code: Type.String(), message: Type.String() }, "A failure."),
      "The latest failure, unless the object is stored.",
    ),
    history,
    started_at: orNull(Type.String(), "When the last attempt began. RFC 3339, UTC."),
    finished_at: orNull(Type.String(), "When it ended. RFC 3339, UTC."),
  },
  "One resource of a job.",
);

export const ResourceListSchema = closed(
  { resources: Type.Array(ResourceSchema), next_cursor: nextCursor },
  "Resources of a job.",
);

export const LogPageSchema = closed(
  {
    job_id: Type.String(),
    logs: Type.Array(
      closed(
        {
          offset: count("Place in the job's log, from 0."),
          timestamp: time("When it happened."),
          level: oneOf(LOG_LEVELS, "Severity."),
          message: Type.String(),
          resource_id: orNull(Type.String(), "The resource it is about."),
          trace_id: Type.String({ description: "W3C trace id of the job." }),
          fields: Type.Unsafe<Record<string, unknown>>(
            Type.Object({}, { additionalProperties: true, description: "What belongs to the message." }),
          ),
        },
        "One row.",
      ),
    ),
    next_offset: count("`offset` to go on with, also when there is nothing more for now."),
  },
  "Rows of a job's log.",
);

const DEAD_LETTER = {
  task_id: Type.Integer({ description: "Sequential id of the task." }),
  job_id: Type.String(),
  job_type: Type.String(),
  tenant: Type.String(),
  resource_id: Type.String(),
  url: Type.String({ description: "Without userinfo." }),
  failure_code: Type.String(),
  failure_message: Type.String(),
  attempts: count("Attempts spent."),
  failed_at: time("When it failed for good."),
};

const DeadLetterSchema = closed(DEAD_LETTER, "A task that failed for good.");

export const DeadLetterListSchema = closed(
  { entries: Type.Array(DeadLetterSchema), next_cursor: nextCursor },
  "Dead letters, newest task first.",
);

export const AnalysisSchema = closed(
  {
    by: oneOf(GROUPINGS, "What is counted by."),
    total: count("Dead letters that match the filter, in all."),
    groups: Type.Array(
      closed(
        {
          key: Type.String({ description: "What they have in common." }),
          count: count("How many they are."),
          share: Type.Number({ minimum: 0, maximum: 1, description: "Of the total." }),
          first_seen: time("When the first of them failed for good."),
          last_seen: time("When the latest did."),
          sample_task_id: Type.Integer({ description: "One of the latest of them." }),
        },
        "Dead letters that have something in common.",
      ),
      { maxItems: ANALYSIS_GROUPS_MAX, description: "The largest first; days: the latest first." },
    ),
    groups_truncated: Type.Boolean({ description: "There are more groups than that." }),
  },
  "Dead letters, counted.",
);

export const DeadLetterDetailSchema = closed(
  {
    ...DEAD_LETTER,
    history,
  },
  "A dead letter with its attempts.",
);

export const OperationSchema = closed(
  {
    operation_id: Type.Integer({ description: "Its number." }),
    kind: oneOf(BULK_OPERATION_KINDS, "What is done."),
    status: oneOf(BULK_OPERATION_STATES, "Whether it goes on, or how it ended."),
    filter: Type.Unsafe<Record<string, string>>(
      Type.Object({}, { additionalProperties: Type.String(), description: "The dead letters it is done to." }),
    ),
    rate_per_second: orNull(Type.Number(), "Tasks that become due per second."),
    matched: count("Dead letters that matched when it began."),
    met: count("Those that it has come to."),
    changed: count("Those of them that it replayed or gave up; the others were none any more."),
    started_at: time("When it began."),
    finished_at: orNull(time("When it ended."), "When it ended."),
    error: orNull(Type.String(), "Why it failed."),
  },
  "What goes on with dead letters in the background.",
);

export const OperationListSchema = closed({ operations: Type.Array(OperationSchema) }, "The latest first.");

const ComponentSchema = closed(
  {
    status: oneOf(HEALTH_STATUSES, "How it does."),
    reason: Type.Optional(Type.String({ description: "Why it is not healthy." })),
  },
  "One part of the service.",
);

export const HealthSchema = closed(
  {
    status: oneOf(HEALTH_STATUSES, "The service as a whole."),
    components: closed(
      Object.fromEntries(HEALTH_COMPONENTS.map((name) => [name, ComponentSchema] as const)),
      "Its parts.",
    ),
    version: Type.String(),
    uptime_seconds: count("Since the start."),
  },
  "How the service does.",
);

export const QueueSchema = closed(
  {
    pending: count("Tasks that wait and were never tried."),
    running: count("Tasks that are being worked on."),
    retrying: count("Tasks that wait to be tried again."),
    paused: Type.Boolean({ description: "No download begins." }),
    oldest_pending_age_ms: count("For how long the task that is due longest has been due; 0 where none is."),
    workers: closed({ total: count("All of them."), busy: count("Those with a task.") }, "The workers."),
    hosts: Type.Array(
      closed(
        {
          host: Type.String({ description: "Name, with its port unless it is the usual one." }),
          waiting: count("Tasks that wait."),
          running: count("Downloads that run, or are about to."),
          limit: count("Downloads that may run at once now; 0 while it is left alone."),
          closed_for_ms: count("For how long it is still left alone."),
          state: oneOf(
            HOST_STATES,
            "slowed: fewer downloads at once after complaints; rate: its starts are limited per second; waiting: it " +
              "asked for a pause; breaker: left alone after failures; probing: one download tries it.",
          ),
          max_concurrency: count("Downloads that the configuration permits at once."),
          rate_per_second: Type.Number({ minimum: 0, description: "Starts that the configuration permits; 0: any." }),
          code: orNull(Type.String(), "The failure code behind the state, where it is known."),
          slowed_ms_ago: orNull(Type.Integer(), "How long ago it was slowed down; null while it is not slow."),
        },
        "A host.",
      ),
      { maxItems: BUSIEST_HOSTS_MAX, description: "The busiest." },
    ),
    limited_by: orNull(
      closed(
        {
          cause: oneOf(LIMIT_CAUSES, "For programs."),
          reason: Type.String({ description: "For people." }),
          standstill: Type.Boolean({ description: "Nothing runs because of it, not just between two tasks." }),
        },
        "A limit.",
      ),
      "What keeps more downloads from running now; null where nothing does.",
    ),
    stored_per_second: Type.Number({
      minimum: 0,
      description: "Resources stored of late: over 5 to 60 s; 0 at a standstill.",
    }),
    failed_per_second: Type.Number({ minimum: 0, description: "Tasks that failed for good of late, as well." }),
    seconds_left: orNull(
      Type.Integer(),
      "Until nothing is left at this rate; null where nothing ended of late, or nothing runs.",
    ),
    closed_buckets: Type.Array(
      closed(
        {
          bucket: Type.String(),
          code: Type.String({ description: "Failure code." }),
          message: Type.String({ description: "What the storage said." }),
          closed_for_ms: count("For how long until it is tried again."),
        },
        "A bucket.",
      ),
      { description: "Buckets that cannot be written to; their tasks wait." },
    ),
  },
  "How much waits, and for what.",
);

export const AliveSchema = closed({ status: Type.Literal("alive") }, "The process runs.");
export const ReadySchema = closed({ status: Type.Literal("ready") }, "The service takes jobs.");

/** Of this document itself: https://spec.openapis.org/oas/v3.1.1.html */
export const OpenApiSchema = Type.Object(
  { openapi: Type.String({ description: "Its version." }) },
  { additionalProperties: true, description: "An OpenAPI document." },
);

export type AttemptRow = Static<typeof AttemptSchema>;
export type JobSnapshot = Static<typeof JobSchema>;
export type ResourceRow = Static<typeof ResourceSchema>;
export type LogPage = Static<typeof LogPageSchema>;
export type Analysis = Static<typeof AnalysisSchema>;
export type HealthAnswer = Static<typeof HealthSchema>;
export type QueueReport = Static<typeof QueueSchema>;
export type DeadLetterRow = Static<typeof DeadLetterSchema>;
export type OperationRow = Static<typeof OperationSchema>;
export type DeadLetterDetail = Static<typeof DeadLetterDetailSchema>;
