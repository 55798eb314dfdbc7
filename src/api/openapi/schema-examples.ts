import { keyOf, storageKeysOf } from "../../jobs/storage-keys.ts";
import type { QueueReport } from "./service-schemas.ts";

// Examples of the OpenAPI document.

const JOB_ID = "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00";
const KEYS = storageKeysOf({ jobType: "default", jobId: JOB_ID });
const MANIFEST_URL = `s3://fetchbox-artifacts/${KEYS.manifestKey}`;

export const MANIFEST_EXAMPLE = {
  manifest_version: "v1",
  metadata: { source: "press kit" },
  resources: [
    { id: "cover.jpg", url: "https://cdn.example.com/image.jpg", content_type: "image/*" },
    {
      id: "book.pdf",
      url: "https://cdn.example.com/book.pdf",
      size: 48213,
      headers: { Referer: "https://example.com/page.html" },
    },
  ],
};

export const ACCEPTED_EXAMPLE = { job_id: JOB_ID, status: "queued", manifest_key: MANIFEST_URL, resource_count: 2 };

export const JOB_EXAMPLE = {
  job_id: JOB_ID,
  job_type: "default",
  tenant: "default",
  priority: "normal",
  trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
  status: "partial",
  resource_total: 2,
  resource_completed: 1,
  resource_failed: 1,
  resource_cancelled: 0,
  bytes_stored: 48213,
  manifest_key: MANIFEST_URL,
  created_at: "2026-11-23T12:00:00.000Z",
  updated_at: "2026-11-23T12:00:02.310Z",
  completed_at: "2026-11-23T12:00:02.310Z",
  rate: null,
  eta_seconds: null,
  log_count: 5,
  errors: [
    {
      resource_id: "cover.jpg",
      code: "DOWNLOAD_HTTP_404",
      message: "the origin answered 404",
      attempts: 1,
      timestamp: "2026-11-23T12:00:02.310Z",
    },
  ],
  errors_truncated: false,
};

export const RESOURCE_EXAMPLE = {
  resource_id: "book.pdf",
  url: "https://cdn.example.com/book.pdf",
  final_url: "https://cdn.example.com/book.pdf",
  state: "completed",
  attempts: 1,
  http_status: 200,
  bytes: 48213,
  integrity: "verified",
  sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  etag: "d41d8cd98f00b204e9800998ecf8427e",
  content_type: "application/pdf",
  content_encoding: null,
  storage_key: `s3://fetchbox-artifacts/${keyOf(KEYS, "book.pdf")}`,
  error: null,
  history: [],
  started_at: "2026-11-23T12:00:00.420Z",
  finished_at: "2026-11-23T12:00:01.100Z",
};

export const ANALYSIS_EXAMPLE = {
  by: "code",
  total: 412,
  groups: [
    {
      key: "DOWNLOAD_HTTP_404",
      count: 309,
      share: 0.75,
      first_seen: "2026-11-20T08:12:31.004Z",
      last_seen: "2026-11-23T12:00:02.310Z",
      sample_task_id: 10_411,
    },
  ],
  groups_truncated: false,
};

export const QUEUE_EXAMPLE: QueueReport = {
  pending: 1_998_213,
  running: 8,
  retrying: 312,
  paused: false,
  oldest_pending_age_ms: 5_400_120,
  workers: { total: 8, busy: 8 },
  hosts: [
    {
      host: "cdn.example.com",
      waiting: 1_800_000,
      running: 4,
      limit: 4,
      closed_for_ms: 0,
      state: "slowed",
      max_concurrency: 16,
      rate_per_second: 0,
      code: "DOWNLOAD_HTTP_429",
      slowed_ms_ago: 41_000,
    },
  ],
  limited_by: {
    cause: "rate_limit",
    reason: "queue.rate_limit_per_worker: 8 workers × 10/s = 80/s",
    standstill: false,
  },
  stored_per_second: 79.3,
  failed_per_second: 0.1,
  seconds_left: 25_171,
  closed_buckets: [],
};

export const LOGS_EXAMPLE = {
  job_id: JOB_ID,
  logs: [
    {
      offset: 0,
      timestamp: "2026-11-23T12:00:00.000Z",
      level: "info",
      message: "job accepted",
      resource_id: null,
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      fields: { resources: 2 },
    },
  ],
  next_offset: 1,
};

export const DEAD_LETTER_EXAMPLE = {
  task_id: 1,
  job_id: JOB_ID,
  job_type: "default",
  tenant: "default",
  resource_id: "cover.jpg",
  url: "https://cdn.example.com/image.jpg",
  failure_code: "DOWNLOAD_HTTP_404",
  failure_message: "the origin answered 404",
  attempts: 1,
  failed_at: "2026-11-23T12:00:02.310Z",
};

export const REPLAY_EXAMPLE = {
  filter: { code: "DOWNLOAD_HTTP_404", host: "cdn.example.com" },
  rate_per_second: 5,
  overrides: { headers: { Referer: "https://example.com/" } },
};

export const GIVE_UP_EXAMPLE = { filter: { job_id: JOB_ID } };

export const OPERATION_EXAMPLE = {
  operation_id: 7,
  kind: "replay",
  status: "running",
  filter: { code: "DOWNLOAD_HTTP_404", host: "cdn.example.com" },
  rate_per_second: 50,
  matched: 2_000_000,
  met: 182_400,
  changed: 182_400,
  started_at: "2026-11-23T12:00:00.000Z",
  started_by: "alice",
  finished_at: null,
  error: null,
};

export const HISTORY_EXAMPLE = {
  started_at: "2026-11-23T12:00:02.100Z",
  duration_ms: 210,
  code: "DOWNLOAD_HTTP_404",
  message: "the origin answered 404",
  http_status: 404,
  address: "192.0.2.7",
  proxy: null,
  bytes: 0,
  body_start: null,
};

export const HEALTH_EXAMPLE = {
  status: "healthy",
  components: {
    api: { status: "healthy" },
    queue: { status: "healthy" },
    ledger: { status: "healthy" },
    dlq: { status: "healthy" },
    broker: { status: "healthy" },
    workers: { status: "healthy" },
    storage: { status: "healthy" },
  },
  version: "0.2.0",
  uptime_seconds: 86400,
};
