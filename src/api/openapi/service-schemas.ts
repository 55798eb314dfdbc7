import { type Static, Type } from "@sinclair/typebox";
import { HOST_STATES } from "../../jobs/host-view.ts";
import { LIMIT_CAUSES } from "../../jobs/queue-limit.ts";
import { HEALTH_COMPONENTS, HEALTH_STATUSES } from "../../telemetry/health.ts";
import { closed, count, failureCode, oneOf, orNull } from "./schema-parts.ts";

/** Most hosts that the queue's report lists. */
export const BUSIEST_HOSTS_MAX = 20;

const ComponentSchema = closed(
  {
    status: oneOf(HEALTH_STATUSES, "Health of the component."),
    reason: Type.Optional(Type.String({ description: "Cause of the bad health, for people; absent if healthy." })),
  },
  "One component of the service.",
);

export const HealthSchema = closed(
  {
    status: oneOf(
      HEALTH_STATUSES,
      "Health of the service. `unhealthy`: a component other than `dlq` is unhealthy. `degraded`: another problem.",
    ),
    components: closed(
      Object.fromEntries(HEALTH_COMPONENTS.map((name) => [name, ComponentSchema] as const)),
      "The components of the service.",
    ),
    version: Type.String({ description: "Version of FetchBox." }),
    uptime_seconds: count("Time since the start in seconds."),
  },
  "The health of the service.",
);

const HostSchema = closed(
  {
    host: Type.String({ description: "Name or address, with the port unless it is the default of the scheme." }),
    waiting: count("Number of tasks that wait for this host."),
    running: count("Number of downloads that run or are about to start."),
    limit: count("Number of downloads that may run at once now; 0 while no download may start."),
    closed_for_ms: count("Time in milliseconds until downloads may start again; 0 if they may start now."),
    state: oneOf(
      HOST_STATES,
      "`open`: no restriction. `slowed`: fewer downloads at once after the host throttled. `rate`: starts wait for the " +
        "rate limit. `waiting`: the host asked for a pause. `breaker`: paused after failures in a row. `probing`: one " +
        "download tests the host after a breaker.",
    ),
    max_concurrency: count("Number of downloads that the configuration allows at once."),
    rate_per_second: Type.Number({
      minimum: 0,
      description: "Number of downloads that the configuration lets start per second; 0: no limit.",
    }),
    code: orNull(failureCode, "Failure code that caused the state; null if unknown."),
    slowed_ms_ago: orNull(Type.Integer(), "Milliseconds since the host was last slowed; null if it is not slowed."),
  },
  "A host that tasks wait for.",
);

export const QueueSchema = closed(
  {
    pending: count("Number of tasks that wait for their first attempt."),
    running: count("Number of tasks that run."),
    retrying: count("Number of tasks that wait for another attempt."),
    paused: Type.Boolean({ description: "True while the queue is paused: no download starts." }),
    oldest_pending_age_ms: count("Time in milliseconds since the oldest due task became due; 0 if no task is due."),
    workers: closed(
      { total: count("Number of workers."), busy: count("Number of workers that run a task.") },
      "The workers.",
    ),
    hosts: Type.Array(HostSchema, {
      maxItems: BUSIEST_HOSTS_MAX,
      description: `The busiest hosts, at most ${BUSIEST_HOSTS_MAX}.`,
    }),
    limited_by: orNull(
      closed(
        {
          cause: oneOf(LIMIT_CAUSES, "Kind of the limit, for programs."),
          reason: Type.String({ description: "The limit and the setting behind it, for people." }),
          standstill: Type.Boolean({ description: "True if no download runs because of the limit." }),
        },
        "A limit.",
      ),
      "The limit that keeps further downloads from starting now; null without one.",
    ),
    stored_per_second: Type.Number({
      minimum: 0,
      description: "Resources stored per second, over the last 5 to 60 seconds; 0 at a standstill.",
    }),
    failed_per_second: Type.Number({
      minimum: 0,
      description: "Permanent failures per second, over the last 5 to 60 seconds; 0 at a standstill.",
    }),
    seconds_left: orNull(
      Type.Integer(),
      "Estimated seconds until the queue is empty at this rate, but not before each of these hosts with waiting tasks " +
        "is open; null if no task ended lately, no download runs, the queue is paused, or most tasks wait for hosts " +
        "that are closed for more than a minute.",
    ),
    closed_buckets: Type.Array(
      closed(
        {
          bucket: Type.String({ description: "Name of the bucket." }),
          code: failureCode,
          message: Type.String({ description: "Message of the storage." }),
          closed_for_ms: count("Time in milliseconds until the next try."),
        },
        "A bucket that refuses writes.",
      ),
      { description: "Buckets that cannot be written to. Their tasks wait without spending attempts." },
    ),
  },
  "The state of the queue.",
);

export const AliveSchema = closed({ status: Type.Literal("alive") }, "The process is running.");
export const ReadySchema = closed({ status: Type.Literal("ready") }, "The service accepts jobs.");

/** The shape of the OpenAPI document itself: https://spec.openapis.org/oas/v3.1.1.html */
export const OpenApiSchema = Type.Object(
  { openapi: Type.String({ description: "Version of the OpenAPI specification." }) },
  { additionalProperties: true, description: "An OpenAPI document." },
);

export type HealthAnswer = Static<typeof HealthSchema>;
export type QueueReport = Static<typeof QueueSchema>;
