import { type Static, Type } from "@sinclair/typebox";
import { JOB_STATUSES } from "../../jobs/job.ts";
import { DISK_NAMES } from "../../telemetry/gauges.ts";
import { HEALTH_STATUSES } from "../../telemetry/health.ts";
import { LEVELS, SUMS } from "../../telemetry/rates/rate-history.ts";
import { closed, count, failureCode, oneOf, orNull, time, timeOrNull } from "./schema-parts.ts";
import { OperationSchema } from "./schemas.ts";

// The answers about the whole service.

/** Lengths of the lists of the overview, so that it has at most 16 KiB. */
export const OVERVIEW_MAX = { codes: 5, buckets: 5, operations: 5, attention: 20 } as const;
/** Dead letters of the last hour are counted up to this number. */
export const LAST_HOUR_MAX = 10_000;

/** The problems that the overview lists, the most urgent kind first. */
export const ATTENTION_KINDS = [
  "component",
  "disk_full",
  "bucket",
  "paused",
  "standstill",
  "disk_low",
  "host",
  "dead_letters",
  "operation",
] as const;

const StoreSchema = closed(
  {
    store: oneOf(DISK_NAMES, "The store; `storage` is the local storage of objects."),
    bytes: orNull(
      Type.Integer({ minimum: 0 }),
      "Size of its files in bytes, with the write-ahead log; null if unknown, and for `storage`.",
    ),
    disk_free_bytes: orNull(Type.Integer({ minimum: 0 }), "Free space on its disk in bytes; null if unknown."),
    disk_total_bytes: orNull(Type.Integer({ minimum: 0 }), "Size of its disk in bytes; null if unknown."),
    disk: orNull(
      oneOf(
        ["ok", "low", "full"],
        "`low`: less than 2 GB (10^9 bytes) are free. `full`: less than 1 MB is free, or a store on the disk cannot be " +
          "written for lack of space.",
      ),
      "State of its disk; null if unknown.",
    ),
  },
  "A store and its disk.",
);

const jobCounts = closed(
  Object.fromEntries(JOB_STATUSES.map((status) => [status, count(`Number of jobs that are \`${status}\`.`)] as const)),
  "The number of jobs in each status.",
);

const AttentionSchema = closed(
  {
    kind: oneOf(
      ATTENTION_KINDS,
      "`component`: a component is not healthy. `disk_full`: a disk is full. `bucket`: a bucket refuses uploads. " +
        "`paused`: the queue is paused. `standstill`: no task can run. `disk_low`: a disk has little space. `host`: a host with waiting tasks is closed. " +
        "`dead_letters`: a failure code has many new dead letters. `operation`: a bulk operation runs.",
    ),
    severity: oneOf(["warning", "critical"], "`critical`: jobs or downloads stop until someone acts."),
    text: Type.String({ description: "The problem, for people." }),
    since: timeOrNull("Start of the problem.", "Null if unknown."),
    href: Type.String({ description: "Path of the console's page about it." }),
  },
  "A state that an operator should know.",
);

export const OverviewSchema = closed(
  {
    instance: closed(
      {
        name: Type.String({
          description: "Name of the machine. If `server.instance` is not 0, `/` and its number follow.",
        }),
        version: Type.String({ description: "Version of FetchBox." }),
        started_at: time("Start of the process."),
      },
      "The process that answers.",
    ),
    health: oneOf(HEALTH_STATUSES, "Health of the service, as `GET /operators/health` explains it."),
    queue: closed(
      {
        pending: count("Number of tasks that wait for their first attempt."),
        running: count("Number of tasks that run."),
        retrying: count("Number of tasks that wait for another attempt."),
        paused: Type.Boolean({ description: "True while the queue is paused: no download starts." }),
        paused_by: orNull(Type.String(), "Name of the token that paused the queue; null if unknown."),
        paused_at: timeOrNull("Start of the pause.", "Null without a pause, or if unknown."),
        oldest_pending_age_ms: count("Time in milliseconds since the oldest due task became due; 0 if no task is due."),
        max_pending: count("Number of waiting tasks from which on jobs are refused (`queue.max_pending_tasks`)."),
      },
      "The queue.",
    ),
    workers: closed(
      { total: count("Number of workers."), busy: count("Number of workers that run a task.") },
      "The workers.",
    ),
    rates: closed(
      {
        window_seconds: count("Length of the window in seconds."),
        completed: count("Number of tasks whose object was stored in the window."),
        failed: count("Number of tasks that failed permanently in the window."),
        retried: count("Number of failed attempts in the window that another attempt follows."),
        bytes: count("Number of bytes received in the window, also by downloads that still run or failed."),
        accepted: count("Number of tasks accepted in the window."),
      },
      "Totals of the last seconds. After a start they are lower, because they begin at 0.",
    ),
    drain_seconds: orNull(
      Type.Integer(),
      "Estimated seconds until the queue is empty; null if it is unknown, as `seconds_left` of `GET /operators/queue`.",
    ),
    jobs: jobCounts,
    dead_letters: closed(
      {
        total: count("Number of dead letters."),
        last_hour: count(
          `Number of dead letters of tasks that failed in the last hour, counted up to ${LAST_HOUR_MAX}.`,
        ),
        by_code: Type.Array(
          closed({ key: failureCode, count: count("Number of dead letters.") }, "Dead letters with the same code."),
          { maxItems: OVERVIEW_MAX.codes, description: "The most frequent failure codes." },
        ),
      },
      "The dead letters.",
    ),
    hosts: closed(
      {
        known: count("Number of hosts with a download, a restriction or failures in a row."),
        closed: count("Number of hosts that no download may start for now."),
        slowed: count("Number of hosts that fewer downloads run for."),
      },
      "The hosts.",
    ),
    buckets: Type.Array(
      closed(
        {
          bucket: Type.String({ description: "Name of the bucket." }),
          state: oneOf(["closed", "probing"], "`closed`: it refuses uploads. `probing`: a task tests it."),
          reason: Type.String({ description: "Failure code and message of the storage." }),
          since: time("Time since which the bucket is closed."),
          waiting: orNull(Type.Integer({ minimum: 0 }), "Number of tasks that wait for it; null if that is expensive."),
        },
        "A bucket that refuses uploads.",
      ),
      { maxItems: OVERVIEW_MAX.buckets, description: "Buckets that refuse uploads." },
    ),
    stores: Type.Array(StoreSchema, {
      maxItems: DISK_NAMES.length,
      description:
        "The stores that are files on this machine, and local storage; S3 is left out. The figures are up to 2 seconds " +
        "old. The list is empty right after the start.",
    }),
    operations: Type.Array(OperationSchema, {
      maxItems: OVERVIEW_MAX.operations,
      description: "Running bulk operations, newest first.",
    }),
    attention: Type.Array(AttentionSchema, {
      maxItems: OVERVIEW_MAX.attention,
      description: "States that an operator should know, the critical ones first.",
    }),
  },
  "The state of the service at a glance.",
);

const stepsOf = (description: string) =>
  Type.Array(orNull(Type.Number({ minimum: 0 }), "The value; null without a sample."), { description });

export const RatesSchema = closed(
  {
    step_seconds: Type.Union([Type.Literal(5), Type.Literal(10), Type.Literal(60)], {
      description: "Length of a step in seconds.",
    }),
    from: time("Start of the first step."),
    to: time("End of the last step; the present step is left out."),
    series: closed(
      {
        ...Object.fromEntries(SUMS.map((name) => [name, stepsOf(`Total of \`${name}\` in each step.`)] as const)),
        ...Object.fromEntries(
          LEVELS.map((name) => [name, stepsOf(`Last value of \`${name}\` in each step.`)] as const),
        ),
      },
      "One list for each figure, with one value for each step. The names are those of the overview; `busy` is the " +
        "number of workers that run a task.",
    ),
  },
  "Figures of the service over a window of time.",
);

export const JobCountsSchema = closed(
  {
    counts: jobCounts,
    capped_at: orNull(
      Type.Integer(),
      "Number of jobs of each status that were examined at most, the newest first, if there are more: a count may " +
        "then be too low. Null if all counts are exact.",
    ),
  },
  "The number of jobs in each status.",
);

export type Overview = Static<typeof OverviewSchema>;
export type Attention = Static<typeof AttentionSchema>;
export type RatesAnswer = Static<typeof RatesSchema>;
export type JobCountsAnswer = Static<typeof JobCountsSchema>;
