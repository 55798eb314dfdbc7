import { Elysia } from "elysia";
import type { PrintedValue } from "../../config/print-config.ts";
import { BodyMemory } from "../../intake/body-memory.ts";
import type { Submit } from "../../intake/submission.ts";
import type { ObjectStore } from "../../jobs/object-store.ts";
import type { DeadLetterReads, FullDeadLetter } from "../../jobs/stores/dead-letter-reads.ts";
import type { LedgerReads } from "../../jobs/stores/ledger-reads.ts";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
import type { Tracer } from "../../net/tracer.ts";
import type { BulkOperationRunner } from "../../operations/bulk-operation-runner.ts";
import type { CancelOutcome } from "../../operations/cancellation.ts";
import type { Clock } from "../../std/clock.ts";
import type { HealthReport } from "../../telemetry/health.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { activityEndpoint } from "../console/activity-endpoint.ts";
import { ActivityLog } from "../console/activity-log.ts";
import { configEndpoint } from "../console/config-endpoint.ts";
import { consoleEndpoints } from "../console/console-endpoints.ts";
import { redirectToConsole } from "../console/root-redirect.ts";
import { analysisEndpoint } from "../endpoints/analysis-endpoint.ts";
import { deadLetterChangeEndpoints } from "../endpoints/dead-letter-change-endpoints.ts";
import { deadLetterEndpoints } from "../endpoints/dead-letter-endpoints.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { type JobEndpointsDeps, jobEndpoints } from "../endpoints/job-endpoints.ts";
import { cancelJobsEndpoint } from "../endpoints/jobs/cancel-jobs-endpoint.ts";
import { jobCountsEndpoint } from "../endpoints/jobs/job-counts-endpoint.ts";
import { formatOf, logsEndpoint } from "../endpoints/logs/logs-endpoint.ts";
import { manifestEndpoint } from "../endpoints/manifest-endpoint.ts";
import { operationEndpoints } from "../endpoints/operation-endpoints.ts";
import { type OverviewEndpointsDeps, overviewEndpoints } from "../endpoints/overview/overview-endpoints.ts";
import { type QueueEndpointsDeps, queueEndpoints } from "../endpoints/queue-endpoints.ts";
import { resourcesEndpoint } from "../endpoints/resources-endpoint.ts";
import { serviceEndpoints } from "../endpoints/service-endpoints.ts";
import { submitEndpoint } from "../endpoints/submit-endpoint.ts";
import { type DownloadsEndpointDeps, downloadsEndpoint } from "../endpoints/traffic/downloads-endpoint.ts";
import { type HostEndpointsDeps, hostEndpoints } from "../endpoints/traffic/host-endpoints.ts";
import { swaggerEndpoints } from "../openapi/swagger.ts";
import { KnownTokens } from "../sign-in/known-tokens.ts";
import { SessionCookie } from "../sign-in/session-cookie.ts";
import { sessionEndpoints } from "../sign-in/session-endpoints.ts";
import { Sessions } from "../sign-in/sessions.ts";
import { SignInLimit } from "../sign-in/sign-in-limit.ts";
import { type AuthSettings, createAuthorize, isOpenToAll } from "./access.ts";
import { ApiError } from "./errors.ts";
import { createServe, type StartPhase } from "./request-handler.ts";
import { limitRequests } from "./request-limit.ts";

const DISK_FULL = 507;

export interface ApiDeps
  extends QueueEndpointsDeps,
    DownloadsEndpointDeps,
    HostEndpointsDeps,
    OverviewEndpointsDeps,
    Pick<JobEndpointsDeps, "speedOf"> {
  readonly submit: Submit;
  readonly cancel: (jobId: string) => Promise<CancelOutcome>;
  /** Discards a dead letter; false if it no longer exists. */
  readonly discard: (deadLetter: FullDeadLetter) => Promise<boolean>;
  readonly operations: BulkOperationRunner;
  /** Names of the configured proxy pools. */
  readonly pools: ReadonlySet<string>;
  readonly queue: Pick<QueueParts, "control" | "deadLetters">;
  readonly ledger: LedgerReads;
  readonly store: Pick<ObjectStore, "read" | "refOf">;
  readonly deadLetters: DeadLetterReads;
  readonly health: () => HealthReport;
  readonly metrics: Pick<Metrics, "scrape" | "contentType" | "request" | "signInFailed" | "expectAnswer">;
  readonly log: Log;
  readonly limits: {
    readonly maxPayloadBytes: number;
    readonly maxBodiesBytes: number;
    readonly requestsPerSecond: number;
  };
  readonly auth: AuthSettings;
  /** Checks the name in `Host` while the service is open to everyone; absent: every name is accepted. */
  readonly isAcceptedHost?: (host: string) => boolean;
  /** Origin of `server.public_url`, if that is configured. */
  readonly publicOrigin?: string | undefined;
  /** The phase of the start; `undefined` once it is over. */
  readonly starting: () => StartPhase | undefined;
  /** Resolves when the content of a store is unknown. */
  readonly broken: Promise<Error>;
  /** The values of the configuration in use, with secrets masked. */
  readonly configuration: () => readonly PrintedValue[];
  readonly version: string;
  /** Name of the instance, for people. */
  readonly instance: string;
  readonly clock: Pick<Clock, "after" | "monotonic" | "now">;
  /** Ends the streams: the server is about to stop. */
  readonly stopping: AbortSignal;
  readonly newRequestId: () => string;
  readonly tracer: Pick<Tracer, "start">;
}

/** The connection of a request. */
interface Connection {
  /** IP address of the client. */
  readonly address: string;
  /** Closes the connection after so many seconds without a byte. */
  readonly closeIn: (seconds: number) => void;
}

/** The router passes only the requests on, so their connections are kept beside them. */
const connections = new WeakMap<Request, Connection>();

function addressOf(request: Request): string {
  return connections.get(request)?.address ?? "";
}

type Api = ReturnType<typeof createApi>;

/** The HTTP API as an application with a method `fetch`; it opens no socket. */
export function createApi(deps: ApiDeps) {
  const activity = new ActivityLog();
  const tokens = new KnownTokens(deps.auth);
  const signIn = {
    tokens,
    sessions: new Sessions({ tokens, clock: deps.clock }),
    cookie: new SessionCookie(deps.publicOrigin),
    isOpen: () => isOpenToAll(deps.auth),
  };
  const endpoints = apiEndpoints(deps, [
    ...sessionEndpoints({ ...deps, ...signIn, signInLimit: new SignInLimit(deps.clock) }),
    activityEndpoint(activity),
    configEndpoint(deps.configuration),
  ]);
  const limit = limitRequests(deps.limits.requestsPerSecond, deps.clock);
  const serve = createServe({
    ...deps,
    isOpen: signIn.isOpen,
    authorize: createAuthorize({ ...signIn, settings: deps.auth, publicOrigin: deps.publicOrigin }),
    activity,
    limit,
    addressOf,
  });
  const app = new Elysia({
    aot: true,
    normalize: false,
    // Without this a host shorter than four characters would be routed to a wrong path.
    handler: { standardHostname: false },
    strictPath: true,
  });
  for (const endpoint of endpoints) {
    // A full disk refuses every change. An alert counts these answers, and `increase()` misses a first sample.
    if (endpoint.method !== "GET") deps.metrics.expectAnswer(endpoint.path, endpoint.method, DISK_FULL);
    for (const method of endpoint.method === "GET" ? ["GET", "HEAD"] : [endpoint.method]) {
      app.route(method, endpoint.path, ({ request, params }) => serve(endpoint, request, params), { parse: "none" });
    }
  }
  const unmatched = unmatchedEndpoint(endpoints);
  for (const { method, path } of shadowed(endpoints)) {
    app.route(method, path, ({ request }) => serve(unmatched, request, {}), { parse: "none" });
  }
  // Only unmatched requests reach this handler, because `serve` does not throw.
  return app.onError(({ request }) => serve(unmatched, request, {}));
}

function apiEndpoints(deps: ApiDeps, more: readonly Endpoint[]): Endpoint[] {
  const endpoints = [
    submitEndpoint({
      submit: deps.submit,
      bodyBytesMax: deps.limits.maxPayloadBytes,
      memory: new BodyMemory(deps.limits.maxBodiesBytes),
      tracer: deps.tracer,
    }),
    ...jobEndpoints(deps),
    jobCountsEndpoint(deps.ledger),
    cancelJobsEndpoint(deps),
    logsEndpoint({
      ...deps,
      drop: (jobId, request, seconds) => {
        deps.log.info(
          { job_id: jobId },
          "a client of a job's log stream read nothing for a minute; it was disconnected",
        );
        connections.get(request)?.closeIn(seconds);
      },
    }),
    manifestEndpoint(deps.ledger, deps.store),
    resourcesEndpoint(deps.ledger, deps.queue.control),
    ...deadLetterEndpoints(deps.deadLetters, deps.discard, {
      ...deps,
      dropDeadLetters: (request, seconds) => {
        deps.log.info("a client of the dead letters' stream read nothing for a minute; it was disconnected");
        connections.get(request)?.closeIn(seconds);
      },
    }),
    analysisEndpoint(deps.deadLetters),
    ...deadLetterChangeEndpoints(deps),
    ...operationEndpoints({ ...deps, changes: deps.queue.deadLetters }),
    ...queueEndpoints(deps),
    downloadsEndpoint(deps),
    ...hostEndpoints(deps),
    ...overviewEndpoints(deps),
    ...serviceEndpoints({ ...deps, monotonic: deps.clock.monotonic, startedAt: deps.clock.monotonic() }),
    ...more,
  ];
  // The code that makes the document is loaded at its first request, so that it does not delay the start.
  const document = async () => (await import("../openapi/openapi-document.ts")).openApiDocument(all, deps.version);
  const all: Endpoint[] = [...endpoints, ...swaggerEndpoints(document, deps.version), ...consoleEndpoints()];
  return all;
}

/** Paths that a parameter of another endpoint would match: `/dlq/replay` must not match `/dlq/:task_id`. */
function shadowed(endpoints: readonly Endpoint[]): { method: string; path: string }[] {
  return endpoints
    .filter(({ path }) => !path.includes(":"))
    .flatMap(({ path }) =>
      ["GET", "HEAD", "POST", "DELETE"]
        .filter((method) => !endpoints.some((other) => other.path === path && methodsOf(other).includes(method)))
        .filter((method) =>
          endpoints.some(
            (other) => other.path.includes(":") && methodsOf(other).includes(method) && patternOf(other).test(path),
          ),
        )
        .map((method) => ({ method, path })),
    );
}

function methodsOf({ method }: Endpoint): string[] {
  return method === "GET" ? ["GET", "HEAD"] : [method];
}

function patternOf({ path }: Endpoint): RegExp {
  return new RegExp(`^${path.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll(/:\w+/g, "[^/]+")}$`);
}

/** Answers a request without an endpoint: 405 if the path has another method (RFC 9110, section 15.5.6), else 404. */
function unmatchedEndpoint(endpoints: readonly Endpoint[]): Endpoint {
  const patterns = endpoints.map((endpoint) => ({
    path: endpoint.path,
    methods: methodsOf(endpoint),
    pattern: patternOf(endpoint),
  }));
  return {
    method: "GET",
    path: "unmatched",
    access: "nothing",
    answer: ({ request }) => {
      const path = pathOf(request.url);
      const redirect = redirectToConsole(request, path);
      if (redirect !== undefined) return redirect;
      const exact = patterns.filter((known) => known.path === path);
      const matching = exact.length > 0 ? exact : patterns.filter(({ pattern }) => pattern.test(path));
      const allowed = matching.flatMap(({ methods }) => methods);
      if (allowed.length === 0) throw new ApiError("NOT_FOUND");
      throw new ApiError("METHOD_NOT_ALLOWED", { headers: { allow: [...new Set(allowed)].join(", ") } });
    },
  };
}

/** The path of a URL. `URL` would refuse some hosts that requests may have. */
function pathOf(url: string): string {
  return url.slice(url.indexOf("/", "https://".length)).replace(/[?#].*$/s, "");
}

interface ServerOptions {
  readonly hostname: string;
  /** 0: the system chooses a free port. */
  readonly port: number;
  /** A connection without a byte for this time is closed; at most 255. It must be longer than a submission takes. */
  readonly idleTimeoutSeconds: number;
}

export interface RunningServer {
  readonly port: number;
  /** Closes connections without a request in progress. */
  readonly dropIdle: () => void;
  /** Accepts no new connections and waits for the requests in progress; an abort of `signal` ends them. */
  stop(signal: AbortSignal): Promise<void>;
}

/** Starts to listen. Throws if the address is in use, or is not one of this machine. */
export function startServer(api: Api, { hostname, port, idleTimeoutSeconds }: ServerOptions): RunningServer {
  const server = Bun.serve({
    hostname,
    port,
    // Without this, two processes on one port would share its requests without an error.
    reusePort: false,
    idleTimeout: idleTimeoutSeconds,
    // Each endpoint limits its own body and answers in the common shape of errors; Bun's own answer has no body.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    fetch: (request, self) => {
      // Bun does not count written bytes as activity, and a stream may have no rows for hours.
      if (formatOf(request) !== undefined) self.timeout(request, 0);
      const routed = withHost(request);
      connections.set(routed, {
        address: self.requestIP(request)?.address ?? "",
        closeIn: (seconds) => self.timeout(request, seconds),
      });
      return api.fetch(routed);
    },
  });
  return {
    port: server.port ?? port,
    dropIdle: () => void server.closeIdleConnections(),
    stop: async (signal) => {
      const cut = () => void server.stop(true);
      signal.addEventListener("abort", cut, { once: true });
      try {
        if (signal.aborted) cut();
        await server.stop(false);
      } finally {
        signal.removeEventListener("abort", cut);
      }
    },
  };
}

/** Without a usable `Host` (HTTP/1.0 has none) a request's URL is a bare path, which the router reads as a host. */
function withHost(request: Request): Request {
  return request.url.startsWith("/") ? new Request(`http://localhost${request.url}`, request) : request;
}
