import type { Clock } from "../../std/clock.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Metrics, SignInFailure } from "../../telemetry/metrics.ts";
import type { ActivityLog } from "../console/activity-log.ts";
import { type Call, type Endpoint, refuseQuery } from "../endpoints/endpoint.ts";
import type { Caller } from "../sign-in/caller.ts";
import { logFailedSignIn } from "../sign-in/failed-sign-in.ts";
import { refuseForeignPage, refuseForeignSignIn } from "../sign-in/own-page.ts";
import { type Authorize, unauthorized } from "./access.ts";
import { ApiError, errorResponse, storeBroken, toApiError } from "./errors.ts";
import { RequestsAtWork } from "./open-requests.ts";
import type { LimitRequests } from "./request-limit.ts";

/** The phase of a service that has not started yet. `without room`: it waits for space on the disk, and tries again. */
export type StartPhase = "recovering" | "without room";

interface ServeDeps {
  readonly clock: Pick<Clock, "monotonic" | "now">;
  readonly authorize: Authorize;
  readonly limit: LimitRequests;
  /** The IP address that a request came from. */
  readonly addressOf: (request: Request) => string;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "request" | "signInFailed">;
  /** Checks the name in `Host` while the service is open to everyone; absent: every name is accepted. */
  readonly isAcceptedHost?: ((host: string) => boolean) | undefined;
  /** The origin of the service's own pages, which may differ from `Host` behind a proxy. */
  readonly publicOrigin?: string | undefined;
  /** True if everyone who can connect may use the API, and with them every page in their browsers. */
  readonly isOpen: () => boolean;
  readonly newRequestId: () => string;
  readonly activity: Pick<ActivityLog, "add">;
  /** The phase of the start; `undefined` once it is over. Until then only reading requests are answered. */
  readonly starting: () => StartPhase | undefined;
  /** Resolves when the content of a store is unknown: waiting clients then get an answer before the process ends. */
  readonly broken: Promise<Error>;
}

/** Answers one request with one endpoint. Never rejects. */
type Serve = (endpoint: Endpoint, request: Request, params: Readonly<Record<string, string>>) => Promise<Response>;

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]);
const REQUEST_ID = /^[!-~]{1,128}$/;

/** Headers of every answer that does not set them itself. */
const HEADERS: readonly (readonly [string, string])[] = [
  ["cache-control", "no-store"],
  ["x-content-type-options", "nosniff"],
  ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
  ["referrer-policy", "no-referrer"],
];

/** The common part of every request: request id, host, access, errors, headers, metrics, a line in the log. */
export function createServe(deps: ServeDeps): Serve {
  const atWork = new RequestsAtWork();
  void deps.broken.then((error) => atWork.end(storeBroken(error)));
  return async (endpoint, request, params) => {
    const startedAt = deps.clock.monotonic();
    const requestId = requestIdOf(request) ?? deps.newRequestId();
    const noted: Record<string, string> = {};
    let response: Response;
    try {
      if (!endpoint.path.startsWith("/health/")) refuseForeignHost(deps, request);
      if (deps.isOpen()) refuseForeignPage(request, deps.publicOrigin);
      else if (endpoint.access === "session") refuseForeignSignIn(request, deps.publicOrigin);
      const caller = admit(deps, endpoint, request, requestId);
      if (caller?.name !== undefined) noted["token_name"] = caller.name;
      if (endpoint.method !== "GET" && endpoint.access !== "session") refuseWhileStarting(deps);
      if (endpoint.query === undefined && !takesAnyQuery(endpoint)) refuseQuery(request.url);
      const call: Call = {
        request,
        params,
        requestId,
        caller,
        requireRights: () => {
          if (caller?.isCurrent() ?? deps.isOpen()) return;
          throw unauthorized("the session or the token is no longer valid", ', error="invalid_token"');
        },
        address: deps.addressOf(request),
        note: (fields) => void Object.assign(noted, fields),
        recordActivity: (activity, by = caller) =>
          deps.activity.add({ ...activity, at: deps.clock.now(), token: by?.name, requestId }),
      };
      response = await atWork.run(endpoint.answer(call));
    } catch (error) {
      response = answerError(deps.log, error, requestId);
    }
    for (const [name, value] of HEADERS) if (!response.headers.has(name)) response.headers.set(name, value);
    response.headers.set("x-request-id", requestId);
    const durationMs = deps.clock.monotonic() - startedAt;
    const fields = { request_id: requestId, ...noted };
    record(deps, { endpoint, request, status: response.status, durationMs, fields });
    return response;
  };
}

/** Probes and browsers may add parameters of their own. A path without an endpoint has its own error. */
function takesAnyQuery({ path, access }: Endpoint): boolean {
  return access === "nothing" || path.startsWith("/health/") || /^\/(swagger|console)/.test(path);
}

/** Checks access and rate. The limit applies to each token, and to each address without a known token. */
function admit(deps: ServeDeps, endpoint: Endpoint, request: Request, requestId: string): Caller | undefined {
  const { authorize, limit, addressOf, metrics, log } = deps;
  const { access } = endpoint;
  let caller: Caller | undefined;
  try {
    caller = authorize(access, request);
  } catch (error) {
    const isUnknown = error instanceof ApiError && error.code === "UNAUTHORIZED";
    const reason = signInFailure(request);
    const address = addressOf(request);
    if (isUnknown) metrics.signInFailed(reason);
    // Before the log line, so that a client over the limit does not fill the log.
    limit(address);
    const failed = { requestId, address, method: methodOf(request), route: endpoint.path, reason };
    if (isUnknown) logFailedSignIn(log, failed);
    throw error;
  }
  if (access !== "open") limit(caller?.id ?? addressOf(request));
  return caller;
}

function signInFailure({ headers }: Request): SignInFailure {
  return headers.has("authorization") ? "unknown" : "missing";
}

/**
 * Refuses a changing request during the start. Recovery would take its unfinished writes for leftovers of a crash, and
 * remove them. The first commit of recovery must also be the first of the process.
 */
function refuseWhileStarting({ starting }: ServeDeps): void {
  const phase = starting();
  if (phase === undefined) return;
  if (phase === "without room") {
    throw new ApiError("DISK_FULL", { message: "the service's disk is full; it starts when there is free space" });
  }
  throw new ApiError("STORAGE_UNAVAILABLE", {
    message: "the service is starting and recovers its stores; try again in a moment",
    retryAfterSeconds: 1,
  });
}

function requestIdOf(request: Request): string | undefined {
  const id = request.headers.get("x-request-id");
  return id !== null && REQUEST_ID.test(id) ? id : undefined;
}

/**
 * Refuses requests of web pages whose own name resolves to this service (DNS rebinding). With tokens such a page cannot
 * sign in. A load balancer may ask for the health by any name.
 */
function refuseForeignHost({ isAcceptedHost, isOpen }: ServeDeps, request: Request): void {
  const host = request.headers.get("host");
  // Every browser sends `Host`; an HTTP/1.0 client need not.
  if (isAcceptedHost === undefined || !isOpen() || host === null || isAcceptedHost(host)) return;
  throw new ApiError("FORBIDDEN", {
    message: "the name in Host is not one of this service; use its IP address, or add the name to server.hosts",
  });
}

/** Logs the error of a request, and answers it. No other place logs it. */
function answerError(log: Log, thrown: unknown, requestId: string): Response {
  const error = toApiError(thrown);
  if (error.status === 500)
    log.error({ request_id: requestId, code: error.code, err: error.cause ?? error }, error.message);
  else if (error.status > 500 && error.code !== "NOT_READY" && error.code !== "SHUTTING_DOWN") {
    log.warn({ request_id: requestId, code: error.code, reason: reasonOf(error) }, error.message);
  }
  return errorResponse(error, requestId);
}

/** The message of the error's first cause. For an error of another system a stack trace of ours would not help. */
function reasonOf(error: ApiError): string {
  for (let cause: unknown = error; ; cause = cause.cause) {
    if (!(cause instanceof Error)) return String(cause);
    if (!(cause.cause instanceof Error)) return cause.message;
  }
}

/** The method for labels and log fields, which must not contain words that a client invents. */
function methodOf({ method }: Request): string {
  return METHODS.has(method) ? method : "OTHER";
}

interface AnsweredRequest {
  readonly endpoint: Endpoint;
  readonly request: Request;
  readonly status: number;
  readonly durationMs: number;
  /** Further fields of the log line. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Counts an answered request in the metrics and writes its log line. */
function record({ log, metrics }: ServeDeps, answered: AnsweredRequest): void {
  const { endpoint, request, status, durationMs, fields } = answered;
  const method = methodOf(request);
  metrics.request(endpoint.path, method, status, durationMs / 1000);
  const line = { ...fields, method, route: endpoint.path, status, duration_ms: Math.round(durationMs * 100) / 100 };
  if (endpoint.method === "GET") log.debug(line, "request answered");
  else log.info(line, "request answered");
}
