import { Elysia } from "elysia";
import { BodyMemory } from "../../intake/body-memory.ts";
import type { Submit } from "../../intake/submission.ts";
import type { DeadLetterReads, FullDeadLetter } from "../../jobs/stores/dead-letter-reads.ts";
import type { LedgerReads } from "../../jobs/stores/ledger-reads.ts";
import type { QueueParts } from "../../jobs/stores/queue-parts.ts";
import type { Tracer } from "../../net/tracer.ts";
import type { BulkOperationRunner } from "../../operations/bulk-operation-runner.ts";
import type { Clock } from "../../std/clock.ts";
import type { HealthReport } from "../../telemetry/health.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { analysisEndpoint } from "../endpoints/analysis-endpoint.ts";
import { deadLetterChangeEndpoints } from "../endpoints/dead-letter-change-endpoints.ts";
import { deadLetterEndpoints } from "../endpoints/dead-letter-endpoints.ts";
import type { Endpoint } from "../endpoints/endpoint.ts";
import { jobEndpoints } from "../endpoints/job-endpoints.ts";
import { formatOf, logsEndpoint } from "../endpoints/logs/logs-endpoint.ts";
import { operationEndpoints } from "../endpoints/operation-endpoints.ts";
import { type QueueEndpointsDeps, queueEndpoints } from "../endpoints/queue-endpoints.ts";
import { resourcesEndpoint } from "../endpoints/resources-endpoint.ts";
import { serviceEndpoints } from "../endpoints/service-endpoints.ts";
import { submitEndpoint } from "../endpoints/submit-endpoint.ts";
import { swaggerEndpoints } from "../openapi/swagger.ts";
import { type AuthSettings, createAuthorize, isOpenToAll } from "./access.ts";
import { ApiError } from "./errors.ts";
import { createServe, type StartPhase } from "./request-handler.ts";
import { limitRequests } from "./request-limit.ts";

export interface ApiDeps extends QueueEndpointsDeps {
  readonly submit: Submit;
  /** Cancels a job; false if it has ended. */
  readonly cancel: (jobId: string) => Promise<boolean>;
  /** Lets a dead letter go; false if it is none any more. */
  readonly giveUp: (letter: FullDeadLetter) => Promise<boolean>;
  readonly operations: BulkOperationRunner;
  /** Names of the configured proxy pools. */
  readonly pools: ReadonlySet<string>;
  readonly queue: Pick<QueueParts, "control" | "deadLetters">;
  readonly ledger: LedgerReads;
  readonly deadLetters: DeadLetterReads;
  readonly health: () => HealthReport;
  readonly metrics: Pick<Metrics, "scrape" | "contentType" | "request" | "signInFailed">;
  readonly log: Log;
  readonly limits: {
    readonly maxPayloadBytes: number;
    readonly maxBodiesBytes: number;
    readonly requestsPerSecond: number;
  };
  readonly auth: AuthSettings;
  /** Whether the service answers to the name in `Host` where everyone may call; absent: to every name. */
  readonly isAcceptedHost?: (host: string) => boolean;
  /** Of the URL that people find the service by, where that is known. */
  readonly publicOrigin?: string | undefined;
  /** Whether the service still recovers what the last process left. */
  readonly starting: () => StartPhase | undefined;
  /** Resolves when nobody knows any more what is in a store. */
  readonly broken: Promise<Error>;
  readonly version: string;
  readonly clock: Pick<Clock, "after" | "monotonic">;
  /** Ends what would go on: the server is about to stop. */
  readonly stopping: AbortSignal;
  readonly newRequestId: () => string;
  readonly tracer: Pick<Tracer, "start">;
}

/** What is to be known of the connection that a request came by. */
interface Connection {
  /** Of the other side. */
  readonly address: string;
  /** Closes it after so many seconds. */
  readonly closeIn: (seconds: number) => void;
}

/** The router passes on nothing but the requests themselves. */
const connections = new WeakMap<Request, Connection>();

function addressOf(request: Request): string {
  return connections.get(request)?.address ?? "";
}

type Api = ReturnType<typeof createApi>;

/** The HTTP API. It takes requests by `fetch`, without a socket of its own. */
export function createApi(deps: ApiDeps) {
  const endpoints = apiEndpoints(deps);
  const limit = limitRequests(deps.limits.requestsPerSecond, deps.clock);
  const serve = createServe({
    ...deps,
    isOpen: () => isOpenToAll(deps.auth),
    authorize: createAuthorize(deps.auth),
    limit,
    addressOf,
  });
  const app = new Elysia({
    aot: true,
    normalize: false,
    // Also a host shorter than four characters leaves the path where it is.
    handler: { standardHostname: false },
    strictPath: true,
  });
  for (const endpoint of endpoints) {
    for (const method of endpoint.method === "GET" ? ["GET", "HEAD"] : [endpoint.method]) {
      app.route(method, endpoint.path, ({ request, params }) => serve(endpoint, request, params), { parse: "none" });
    }
  }
  const unmatched = unmatchedEndpoint(endpoints);
  for (const { method, path } of shadowed(endpoints)) {
    app.route(method, path, ({ request }) => serve(unmatched, request, {}), { parse: "none" });
  }
  // Nothing else gets here: `serve` does not throw.
  return app.onError(({ request }) => serve(unmatched, request, {}));
}

function apiEndpoints(deps: ApiDeps): Endpoint[] {
  const endpoints = [
    submitEndpoint({
      submit: deps.submit,
      bodyBytesMax: deps.limits.maxPayloadBytes,
      memory: new BodyMemory(deps.limits.maxBodiesBytes),
      tracer: deps.tracer,
    }),
    ...jobEndpoints(deps.ledger, deps.cancel),
    logsEndpoint({
      ...deps,
      drop: (jobId, request, seconds) => {
        deps.log.info({ job_id: jobId }, "a follower of a job's log reads nothing: dropped");
        connections.get(request)?.closeIn(seconds);
      },
    }),
    resourcesEndpoint(deps.ledger, deps.queue.control),
    ...deadLetterEndpoints(deps.deadLetters, deps.giveUp),
    analysisEndpoint(deps.deadLetters),
    ...deadLetterChangeEndpoints(deps),
    ...operationEndpoints({ ...deps, desk: deps.queue.deadLetters }),
    ...queueEndpoints(deps),
    ...serviceEndpoints({ ...deps, monotonic: deps.clock.monotonic, startedAt: deps.clock.monotonic() }),
  ];
  // What makes the document is loaded when somebody asks for it: the start need not wait for that.
  const document = async () => (await import("../openapi/openapi-document.ts")).openApiDocument(all, deps.version);
  const all: Endpoint[] = [...endpoints, ...swaggerEndpoints(document, deps.version)];
  return all;
}

/** Paths that another endpoint's place would take in: `/dlq/replay` is no `/dlq/:task_id`, whatever the method. */
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
  return new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/:\w+/g, "[^/]+")}$`);
}

/** Where no endpoint is: 405 if there is one for another method, else 404. */
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
      const exact = patterns.filter((known) => known.path === path);
      const matching = exact.length > 0 ? exact : patterns.filter(({ pattern }) => pattern.test(path));
      const allowed = matching.flatMap(({ methods }) => methods);
      if (allowed.length === 0) throw new ApiError("NOT_FOUND");
      throw new ApiError("METHOD_NOT_ALLOWED", { headers: { allow: [...new Set(allowed)].join(", ") } });
    },
  };
}

/** Not by `URL`, which refuses some hosts that come through. */
function pathOf(url: string): string {
  return url.slice(url.indexOf("/", "https://".length)).replace(/[?#].*$/s, "");
}

interface ServerOptions {
  readonly hostname: string;
  /** 0 lets the system choose one. */
  readonly port: number;
  /** A connection that is silent for so long is closed; at most 255. Longer than a submission takes. */
  readonly idleTimeoutSeconds: number;
}

export interface RunningServer {
  readonly port: number;
  /** Closes connections that no request is under way on. */
  readonly dropIdle: () => void;
  /** Takes no new connections and waits for the requests at work; an abort of `signal` cuts them off. */
  stop(signal: AbortSignal): Promise<void>;
}

/** Listens. Throws if the address is taken or not ours. */
export function startServer(api: Api, { hostname, port, idleTimeoutSeconds }: ServerOptions): RunningServer {
  const server = Bun.serve({
    hostname,
    port,
    // Two processes on one port would split the requests between them unnoticed.
    reusePort: false,
    idleTimeout: idleTimeoutSeconds,
    // Each endpoint counts for itself what it reads, and says so in our shape; Bun's own answer has no body.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    development: false,
    fetch: (request, self) => {
      // Writing does not count as life, and a follower may have nothing to read for hours.
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

/** Without a usable `Host` (HTTP/1.0 has none) a request's URL is a bare path, which the router takes for a host. */
function withHost(request: Request): Request {
  return request.url.startsWith("/") ? new Request(`http://localhost${request.url}`, request) : request;
}
