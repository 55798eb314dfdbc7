import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type ApiDeps, createApi, startServer } from "../../src/api/http/server.ts";
import { COMPONENTS } from "../../src/api/openapi/openapi-document.ts";
import { OVERVIEW_EXAMPLE } from "../../src/api/openapi/overview-examples.ts";
import { QUEUE_EXAMPLE } from "../../src/api/openapi/schema-examples.ts";
import { ErrorSchema } from "../../src/api/openapi/schemas.ts";
import type { Submission, Submit } from "../../src/intake/submission.ts";
import { Failure } from "../../src/jobs/failure.ts";
import { newJobId } from "../../src/jobs/job.ts";
import type { AttemptRecord, ClaimedTask } from "../../src/jobs/task.ts";
import type { Verdict } from "../../src/jobs/verdict.ts";
import { createPassingTracer } from "../../src/net/tracer.ts";
import { BulkOperationRunner } from "../../src/operations/bulk-operation-runner.ts";
import { openStores, type SqliteStores } from "../../src/sqlite/stores.ts";
import { systemClock } from "../../src/std/clock.ts";
import type { HealthReport } from "../../src/telemetry/health.ts";
import { createLog } from "../../src/telemetry/log.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { RateHistory } from "../../src/telemetry/rates/rate-history.ts";

const healthy = { status: "healthy" } as const;
export const HEALTHY: HealthReport = {
  components: {
    api: healthy,
    queue: healthy,
    ledger: healthy,
    dlq: healthy,
    broker: healthy,
    workers: healthy,
    storage: healthy,
  },
  ready: true,
  draining: false,
};

const SubmittedSchema = Type.Object({
  resources: Type.Array(
    Type.Object({
      id: Type.String(),
      url: Type.String(),
      headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    }),
  ),
});

const LineSchema = Type.Object({ level: Type.String(), msg: Type.String() }, { additionalProperties: true });
type ErrorBody = Static<typeof ErrorSchema>;

export interface TestApi extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly stores: SqliteStores;
  readonly submissions: Submission[];
  /** What the service logged. */
  readonly lines: (Static<typeof LineSchema> & Record<string, unknown>)[];
  now: number;
  /** The log line of the next request that is answered. */
  answered(): Promise<TestApi["lines"][number]>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** The body of a 200 answer, which must be as the document says. */
  get<T extends keyof typeof COMPONENTS>(name: T, path: string): Promise<Static<(typeof COMPONENTS)[T]>>;
  /** The body of an error, which must have the one shape. */
  error(path: string, status: number, init?: RequestInit): Promise<ErrorBody>;
  /** Submits a job with resources r0, r1, … and gives its id. */
  submit(resources: number, options?: { jobType?: string; tenant?: string; url?: string }): Promise<string>;
  claim(limit: number): Promise<readonly ClaimedTask[]>;
  settle(claimed: ClaimedTask, verdict: Verdict): Promise<void>;
  /** Stops the server, but not the stores. */
  stop(signal: AbortSignal): Promise<void>;
}

/** The API over HTTP with real stores in a folder of its own; `submit` queues without a handler. */
export async function startTestApi(overrides: Partial<ApiDeps> = {}): Promise<TestApi> {
  const folder = await mkdtemp(join(tmpdir(), "fetchbox-api-"));
  let now = Date.parse("2026-11-23T12:00:00Z");
  const lines: TestApi["lines"] = [];
  let onAnswered: (line: TestApi["lines"][number]) => void = () => {};
  const stores = openStores({
    queuePath: folder,
    ledgerPath: folder,
    dlqPath: folder,
    clock: { now: () => now, steady: () => now },
    onLag: (_projection, error) => {
      throw error;
    },
    onDrift: (counter) => {
      throw new Error(`${counter} drifted`);
    },
  });
  const submissions: Submission[] = [];
  const metrics = createMetrics({
    version: "1.2.3",
    queueDepth: () => stores.queue.control.depth(),
    dlqSize: () => stores.deadLetters.size(),
    workersBusy: () => 0,
    orphans: () => stores.queue.orphans.counts(),
    isPaused: () => stores.queue.control.isPaused(),
    oldestDueMs: () => stores.queue.control.oldestPendingAgeMs(),
    disks: async () => new Map(),
    lastBackupAt: async () => 0,
    labels: { jobTypes: ["default"], pools: [], pruned: [], counters: [] },
  });
  const api = createApi({
    submit: (submission) => {
      submissions.push(submission);
      return accept(stores, submission, now);
    },
    cancel: async (jobId) => {
      const requested = await stores.queue.cancellations.request(jobId);
      if (requested === undefined) return "ended";
      return requested.isNew ? "new" : "repeated";
    },
    discard: async ({ task, resourceId }) =>
      (await stores.queue.deadLetters.discard([{ id: task, resourceId }], "given_up")) > 0,
    operations: new BulkOperationRunner({
      deadLetterChanges: stores.queue.deadLetters,
      deadLetters: stores.deadLetters,
      clock: { ...systemClock, steady: () => now },
      onQueueError: (error) => {
        throw error;
      },
      signal: new AbortController().signal,
    }),
    pools: new Set(["residential-us"]),
    downloads: () => [],
    hosts: {
      page: async () => ({ hosts: [], next: undefined }),
      find: async () => undefined,
      reopen: async () => undefined,
    },
    queueReport: () => Promise.resolve(QUEUE_EXAMPLE),
    setPaused: async (paused, by) => {
      const isChange = stores.queue.control.isPaused() !== paused;
      await stores.queue.control.setPaused(paused, by);
      return isChange;
    },
    overview: () => Promise.resolve(OVERVIEW_EXAMPLE),
    rateHistory: new RateHistory({ now: () => now, steady: () => now }, () => 0),
    speedOf: () => undefined,
    queue: stores.queue,
    ledger: stores.ledger,
    store: { refOf: () => undefined, read: () => Promise.resolve(undefined) },
    deadLetters: stores.deadLetters,
    health: () => HEALTHY,
    metrics,
    log: createLog({
      level: "debug",
      format: "json",
      destination: {
        isTerminal: false,
        write: (text) => {
          const line: unknown = JSON.parse(text);
          Value.Assert(LineSchema, line);
          lines.push(line);
          if (line.msg === "request answered") onAnswered(line);
        },
      },
    }),
    limits: { maxPayloadBytes: 64 * 1024, maxBodiesBytes: 128 * 1024, requestsPerSecond: 0 },
    auth: { mode: "token", tokens: [] },
    starting: () => undefined,
    version: "1.2.3",
    instance: "prod-eu1",
    configuration: () => [],
    clock: { now: () => now, monotonic: () => now, after: systemClock.after },
    broken: new Promise(() => {}),
    stopping: new AbortController().signal,
    newRequestId: () => Bun.randomUUIDv7(),
    tracer: createPassingTracer((bytes) => crypto.getRandomValues(bytes)),
    ...overrides,
  });
  const server = startServer(api, { hostname: "127.0.0.1", port: 0, idleTimeoutSeconds: 60 });
  const url = `http://127.0.0.1:${server.port}`;
  const request = (path: string, init?: RequestInit) => fetch(url + path, { redirect: "manual", ...init });
  return {
    url,
    port: server.port,
    stores,
    submissions,
    lines,
    get now() {
      return now;
    },
    set now(at) {
      now = at;
    },
    answered: () =>
      new Promise((resolve) => {
        onAnswered = resolve;
      }),
    fetch: request,
    get: async (name, path) => {
      const response = await request(path);
      const body: unknown = await response.json();
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`);
      return conforming(COMPONENTS[name], body);
    },
    error: async (path, status, init) => {
      const response = await request(path, init);
      const body: unknown = await response.json();
      if (response.status !== status) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`);
      const error = conforming(ErrorSchema, body);
      if (error.request_id !== response.headers.get("x-request-id")) throw new Error("the request ids differ");
      return error;
    },
    submit: async (resources, { jobType = "default", tenant = "default", url: base = "https://a.example/" } = {}) => {
      const list = Array.from({ length: resources }, (_, index) => ({ id: `r${index}`, url: `${base}r${index}` }));
      const response = await request("/jobs", {
        method: "POST",
        headers: { "content-type": "application/json", "x-fetchbox-job-type": jobType, "x-fetchbox-tenant": tenant },
        body: JSON.stringify({ manifest_version: "v1", resources: list }),
      });
      return Value.Parse(COMPONENTS.Accepted, await response.json()).job_id;
    },
    claim: async (limit) => {
      const lanes = await stores.queue.source.lanes(1000);
      const claim = stores.queue.source.claim(lanes.map(({ id }) => ({ lane: id, limit })));
      stores.queue.flush();
      const tasks = await claim;
      const begun = tasks.map((task) => stores.queue.settlements.markStarted(task));
      stores.queue.flush();
      await Promise.all(begun);
      return tasks;
    },
    settle: async (claimed, verdict) => {
      const settled = stores.queue.settlements.settle({ claimed, verdict });
      stores.queue.flush();
      if (!(await settled)) throw new Error("the claim was stale");
    },
    stop: (signal) => server.stop(signal),
    [Symbol.asyncDispose]: async () => {
      await server.stop(AbortSignal.abort());
      stores.close();
      await rm(folder, { recursive: true });
    },
  };
}

function conforming<T extends TSchema>(schema: T, body: unknown): Static<T> {
  const violation = Value.Errors(schema, body).First();
  if (violation !== undefined) throw new Error(`${violation.path}: ${violation.message} in ${JSON.stringify(body)}`);
  Value.Assert(schema, body);
  return body;
}

async function accept(stores: SqliteStores, submission: Submission, now: number): ReturnType<Submit> {
  const { resources } = Value.Parse(SubmittedSchema, JSON.parse(new TextDecoder().decode(submission.body)));
  const jobId = newJobId(0);
  const manifestUrl = `s3://bucket/manifests/${submission.jobType}/${jobId}/metadata.json`;
  const accepted = stores.queue.acceptor.accept({
    job: {
      jobId,
      jobType: submission.jobType,
      tenant: submission.tenant,
      priority: "normal",
      ...submission.trace,
      manifestUrl,
      createdAt: now,
    },
    tasks: resources.map(({ id, url, headers }) => ({
      resourceId: id,
      url,
      bucket: "bucket",
      key: id,
      ...(headers !== undefined && { headers }),
    })),
    pendingMax: 1_000_000,
  });
  stores.queue.flush();
  await accepted;
  const body = {
    job_id: jobId,
    status: "queued",
    manifest_key: manifestUrl,
    resource_count: resources.length,
  } as const;
  return { body, replayed: false };
}

/** Verdicts as a worker would give them. */
export function stored(claimed: ClaimedTask, now: number): Verdict {
  return {
    kind: "complete",
    result: {
      finalUrl: claimed.task.url,
      httpStatus: 200,
      bytes: 10,
      integrity: "verified",
      sha256: "ab".repeat(32),
      etag: "e",
      contentType: "text/plain",
      contentEncoding: "gzip",
      storageUrl: `s3://bucket/${claimed.task.key}`,
      startedAt: now,
    },
  };
}

export function failedForGood(claimed: ClaimedTask, now: number, status = 404): Verdict {
  const { code, message } = new Failure(`DOWNLOAD_HTTP_${status}`, `the origin answered ${status}`);
  return { kind: "discard", code, message, attempts: claimed.attempts + 1, attempt: attempt(now, status) };
}

export function tryAgain(now: number, status = 502): Verdict {
  return { kind: "retry", attempt: attempt(now, status), availableAt: now + 1000 };
}

function attempt(now: number, status: number): AttemptRecord {
  return {
    startedAt: now,
    durationMs: 12,
    code: `DOWNLOAD_HTTP_${status}`,
    message: `the origin answered ${status}`,
    httpStatus: status,
    proxy: "http://user:secret@proxy:8080",
    bytes: 0,
  };
}
