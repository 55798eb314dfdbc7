import type { JobCountsAnswer, Overview, RatesAnswer } from "./overview-schemas.ts";

// Examples of the answers about the whole service.

export const OVERVIEW_EXAMPLE: Overview = {
  instance: { name: "prod-eu1", version: "0.2.0", started_at: "2026-11-22T12:00:00.000Z" },
  health: "degraded",
  queue: {
    pending: 1_203_999,
    running: 7,
    retrying: 312,
    paused: false,
    paused_by: null,
    paused_at: null,
    oldest_pending_age_ms: 180_000,
    max_pending: 10_000_000,
  },
  workers: { total: 8, busy: 7 },
  rates: { window_seconds: 60, completed: 24_720, failed: 12, retried: 40, bytes: 2_390_753_280, accepted: 30_000 },
  drain_seconds: 2940,
  jobs: { queued: 1201, in_progress: 14, completed: 84_112, partial: 93, failed: 11, cancelled: 4 },
  dead_letters: { total: 1042, last_hour: 12, by_code: [{ key: "DOWNLOAD_HTTP_403", count: 830 }] },
  hosts: { known: 312, closed: 1, slowed: 3 },
  buckets: [],
  stores: [
    {
      store: "queue",
      bytes: 1_288_490_188,
      disk_free_bytes: 61_203_283_968,
      disk_total_bytes: 105_089_261_568,
      disk: "ok",
    },
  ],
  operations: [],
  attention: [
    {
      kind: "host",
      severity: "warning",
      text: "cdn.example.com: closed for 12 s, its breaker is open (DOWNLOAD_TIMEOUT)",
      since: "2026-11-23T11:59:48.000Z",
      href: "/console/hosts?q=cdn.example.com",
    },
  ],
};

export const RATES_EXAMPLE: RatesAnswer = {
  step_seconds: 10,
  from: "2026-11-23T11:59:40.000Z",
  to: "2026-11-23T12:00:00.000Z",
  series: {
    completed: [null, 4120],
    failed: [null, 2],
    retried: [null, 7],
    accepted: [null, 5000],
    bytes: [null, 398_458_880],
    pending: [null, 1_203_999],
    running: [null, 7],
    retrying: [null, 312],
    busy: [null, 7],
    dead_letters: [null, 1042],
  },
};

export const JOB_COUNTS_EXAMPLE: JobCountsAnswer = {
  counts: { queued: 1201, in_progress: 14, completed: 84_112, partial: 93, failed: 11, cancelled: 4 },
  capped_at: null,
};

export const CANCEL_REQUEST_EXAMPLE = { filter: { tenant: "default", until: "2026-11-23T12:00:00Z" } };
