import { type Static, Type } from "@sinclair/typebox";
import { HOST_STATES } from "../../jobs/host-view.ts";
import { DOWNLOAD_STAGES } from "../../worker/attempt.ts";
import {
  closed,
  count,
  jobId,
  jobType,
  nextCursor,
  oneOf,
  orNull,
  resourceId,
  tenant,
  time,
  timeOrNull,
  url,
} from "./schema-parts.ts";

const DownloadSchema = closed(
  {
    task_id: Type.Integer({ description: "Id of the task, a sequential number." }),
    job_id: jobId,
    job_type: jobType,
    tenant,
    resource_id: resourceId,
    url,
    host: Type.String({ description: "Host of the URL, with the port unless it is the default of the scheme." }),
    address: Type.String({
      description: "IP address that the download uses now, also after a redirect; empty until it is known.",
    }),
    proxy: orNull(Type.String(), "URL of the proxy, without user name and password; null for a direct connection."),
    attempt: Type.Integer({ minimum: 1, description: "Number of this attempt, from 1." }),
    stage: oneOf(
      DOWNLOAD_STAGES,
      "`connecting`: it resolves the name or opens a connection. `headers`: the request is sent. `body`: the head of " +
        "the answer has come. `storing`: the body is complete.",
    ),
    http_status: orNull(Type.Integer(), "HTTP status of the latest answer; null until its head has come."),
    started_at: time("Start of the attempt."),
    bytes: count("Number of body bytes received."),
    bytes_total: orNull(Type.Integer(), "Size of the body; null while it is unknown."),
    bytes_per_second: count("Speed over the last five seconds; 0 in the first second."),
  },
  "A running download.",
);

export const DownloadListSchema = closed(
  {
    total: count("Number of running downloads that match the filter."),
    downloads: Type.Array(DownloadSchema, { description: "The first of them, in the order of `sort`." }),
  },
  "The running downloads.",
);

export const HostDetailSchema = closed(
  {
    host: Type.String({ description: "Name or address, with the port unless it is the default of the scheme." }),
    waiting: count("Number of tasks that wait for this host."),
    running: count("Number of running downloads."),
    limit: count("Number of downloads that may run at once now; 0 while no download may start."),
    configured_limit: count("Number of downloads that the configuration allows at once."),
    current_limit: Type.Number({
      minimum: 0,
      description:
        "Number of downloads at once that the host can take, by its answers. Below 1, one at a time with pauses. A pause " +
        "or a breaker does not change it.",
    }),
    state: oneOf(
      HOST_STATES,
      "`open`: no restriction. `slowed`: fewer downloads at once after the host throttled. `rate`: starts wait for the " +
        "rate limit. `waiting`: the host asked for a pause. `breaker`: paused after failures in a row. `probing`: one " +
        "download tests the host after a breaker, or after a reopening.",
    ),
    closed_for_ms: count("Time in milliseconds until downloads may start again; 0 if they may start now."),
    failures_in_a_row: count("Number of transient failures since the last answer."),
    unavailable_since: timeOrNull(
      "Time since which no probe has reached the host.",
      "Null while its breaker is closed.",
    ),
    rate_per_second: Type.Number({
      minimum: 0,
      description: "Number of downloads that the configuration lets start per second; 0: no limit.",
    }),
    rule: orNull(
      Type.String(),
      "Pattern of `[download.hosts]` that sets the limits; null: `[download.host]` sets the limits.",
    ),
    completed_5m: count("Number of resources stored in the last five minutes."),
    failed_5m: count("Number of attempts that failed in the last five minutes, also those that are repeated."),
    bytes_5m: count("Number of body bytes that the attempts of the last five minutes received."),
    dead_letters: count("Number of dead letters of this host."),
  },
  "A host: its limits, its state and its figures.",
);

export const HostListSchema = closed(
  {
    hosts: Type.Array(HostDetailSchema, { description: "The hosts, in the order of `sort`." }),
    next_cursor: nextCursor,
  },
  "A page of hosts.",
);

export type DownloadRow = Static<typeof DownloadSchema>;
export type HostRow = Static<typeof HostDetailSchema>;
export type DownloadList = Static<typeof DownloadListSchema>;
export type HostList = Static<typeof HostListSchema>;

/** Examples for the document. */
export const DOWNLOAD_EXAMPLE: DownloadRow = {
  task_id: 4711,
  job_id: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00",
  job_type: "default",
  tenant: "default",
  resource_id: "cover.jpg",
  url: "https://cdn.example.com/image.jpg",
  host: "cdn.example.com",
  address: "192.0.2.7",
  proxy: null,
  attempt: 1,
  stage: "body",
  http_status: 200,
  started_at: "2026-11-23T12:00:02.100Z",
  bytes: 3_145_728,
  bytes_total: 8_388_608,
  bytes_per_second: 524_288,
};

export const HOST_EXAMPLE: HostRow = {
  host: "cdn.example.com",
  waiting: 380,
  running: 0,
  limit: 0,
  configured_limit: 8,
  current_limit: 2,
  state: "breaker",
  closed_for_ms: 12_000,
  failures_in_a_row: 5,
  unavailable_since: "2026-11-23T12:00:02.100Z",
  rate_per_second: 0,
  rule: "*.example.com",
  completed_5m: 1240,
  failed_5m: 12,
  bytes_5m: 84_000_000,
  dead_letters: 3,
};
