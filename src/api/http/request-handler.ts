import type { Log } from "../../telemetry/log.ts";
import type { Metrics, SignInFailure } from "../../telemetry/metrics.ts";
import { type Endpoint, refuseQuery } from "../endpoints/endpoint.ts";
import type { Authorize, Caller } from "./access.ts";
import { ApiError, errorResponse, storeBroken, toApiError } from "./errors.ts";
import { RequestsAtWork } from "./open-requests.ts";
import type { LimitRequests } from "./request-limit.ts";

/** What a service that is not running yet is at: `without room` it waits for the disk, and tries again. */
export type StartPhase = "recovering" | "without room";

interface ServeDeps {
  readonly authorize: Authorize;
  readonly limit: LimitRequests;
  /** Where a request came from. */
  readonly addressOf: (request: Request) => string;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "request" | "signInFailed">;
  /** Whether the service answers to this name where everyone may call; absent: to every name. */
  readonly isAcceptedHost?: ((host: string) => boolean) | undefined;
  /** Of pages that are the service's own, whatever name a proxy before it calls it by. */
  readonly publicOrigin?: string | undefined;
  /** Everyone who can connect may call, and so may every page in a browser of theirs. */
  readonly isOpen: () => boolean;
  readonly newRequestId: () => string;
  /** Whether the service still recovers what the last process left: it is read, but nothing is changed. */
  readonly starting: () => StartPhase | undefined;
  /** Resolves when nobody knows any more what is in a store: who waits then gets an answer before the process ends. */
  readonly broken: Promise<Error>;
}

/** Answers one request by one endpoint. Never rejects. */
type Serve = (endpoint: Endpoint, request: Request, params: Readonly<Record<string, string>>) => Promise<Response>;

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]);
const REQUEST_ID = /^[!-~]{1,128}$/;

/** What an answer carries that does not say otherwise. */
const HEADERS: readonly (readonly [string, string])[] = [
  ["cache-control", "no-store"],
  ["x-content-type-options", "nosniff"],
  ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
  ["referrer-policy", "no-referrer"],
];

/** All that every request has in common: request id, host, access, errors, headers, metrics, a line in the log. */
export function createServe(deps: ServeDeps): Serve {
  const atWork = new RequestsAtWork();
  void deps.broken.then((error) => atWork.end(storeBroken(error)));
  return async (endpoint, request, params) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(request) ?? deps.newRequestId();
    const noted: Record<string, string> = {};
    let response: Response;
    try {
      if (!endpoint.path.startsWith("/health/")) refuseForeignHost(deps, request);
      if (deps.isOpen()) refuseForeignPage(request, deps.publicOrigin);
      const caller = admit(deps, endpoint, request, requestId);
      if (caller?.name !== undefined) noted["token_name"] = caller.name;
      if (endpoint.method !== "GET") refuseWhileStarting(deps);
      // What has a page or a scraper before it may get more than it wants.
      if (endpoint.query === undefined && endpoint.path.startsWith("/operators/")) refuseQuery(request.url);
      const note = (fields: Readonly<Record<string, string>>) => void Object.assign(noted, fields);
      response = await atWork.run(endpoint.answer({ request, params, requestId, note }));
    } catch (error) {
      response = answerError(deps.log, error, requestId);
    }
    for (const [name, value] of HEADERS) if (!response.headers.has(name)) response.headers.set(name, value);
    response.headers.set("x-request-id", requestId);
    const durationMs = performance.now() - startedAt;
    const fields = { request_id: requestId, ...noted };
    record(deps, { endpoint, request, status: response.status, durationMs, fields });
    return response;
  };
}

/** Whoever may, and not too often: each token for itself, and who has none, or a wrong one, by the address. */
function admit(deps: ServeDeps, endpoint: Endpoint, request: Request, requestId: string): Caller | undefined {
  const { authorize, limit, addressOf, metrics } = deps;
  const { access } = endpoint;
  let caller: Caller | undefined;
  try {
    caller = authorize(access, request.headers.get("authorization"));
  } catch (error) {
    const isUnknown = error instanceof ApiError && error.code === "UNAUTHORIZED";
    if (isUnknown) metrics.signInFailed(signInFailure(request));
    // Who is over the limit fills no log.
    limit(addressOf(request));
    if (isUnknown) logFailedSignIn(deps, endpoint, request, requestId);
    throw error;
  }
  if (access !== "open") limit(caller?.id ?? addressOf(request));
  return caller;
}

function signInFailure({ headers }: Request): SignInFailure {
  return headers.has("authorization") ? "unknown" : "missing";
}

/** Whatever the method: who tries tokens reads first. What was sent is not told. */
function logFailedSignIn(deps: ServeDeps, { path: route }: Endpoint, request: Request, requestId: string): void {
  const reason = signInFailure(request);
  const fields = { request_id: requestId, address: deps.addressOf(request), method: methodOf(request), route, reason };
  deps.log.warn(fields, `sign-in failed: the token is ${reason}`);
}

/**
 * Recovery takes what is half written for what a crash left, and removes it. Its first commit must also be the first of
 * the process. So nothing is changed before it has ended.
 */
function refuseWhileStarting({ starting }: ServeDeps): void {
  const phase = starting();
  if (phase === undefined) return;
  if (phase === "without room") {
    throw new ApiError("DISK_FULL", { message: "the service's disk is full; it begins to work when there is room" });
  }
  throw new ApiError("STORAGE_UNAVAILABLE", {
    message: "the service is starting: it recovers what the last process left; try again in a moment",
    retryAfterSeconds: 1,
  });
}

function requestIdOf(request: Request): string | undefined {
  const id = request.headers.get("x-request-id");
  return id !== null && REQUEST_ID.test(id) ? id : undefined;
}

/**
 * A page in somebody's browser must not get in by a name that it made point here. With tokens it has none to send. A
 * load balancer may ask for the health by any name.
 */
function refuseForeignHost({ isAcceptedHost, isOpen }: ServeDeps, request: Request): void {
  const host = request.headers.get("host");
  // Every browser names one; HTTP/1.0 need not.
  if (isAcceptedHost === undefined || !isOpen() || host === null || isAcceptedHost(host)) return;
  throw new ApiError("FORBIDDEN", {
    message: "the service does not answer to the name in Host; call it by its address, or add the name to server.hosts",
  });
}

/**
 * A browser sends some requests that change things for any page, unasked, and says by these headers whose page it is:
 * https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/
 */
function refuseForeignPage({ method, headers }: Request, publicOrigin: string | undefined): void {
  if (method === "GET" || method === "HEAD") return;
  const origin = headers.get("origin");
  const isOwn =
    origin === null || origin === publicOrigin || URL.parse(origin)?.host === headers.get("host")?.toLowerCase();
  const site = headers.get("sec-fetch-site") ?? "none";
  if (isOwn && (site === "none" || site === "same-origin")) return;
  throw new ApiError("FORBIDDEN", { message: "a page of another origin may not do this; without tokens none may" });
}

/** The one place where what went wrong in a request is logged. */
function answerError(log: Log, thrown: unknown, requestId: string): Response {
  const error = toApiError(thrown);
  if (error.status === 500)
    log.error({ request_id: requestId, code: error.code, err: error.cause ?? error }, error.message);
  else if (error.status > 500 && error.code !== "NOT_READY" && error.code !== "SHUTTING_DOWN") {
    log.warn({ request_id: requestId, code: error.code, reason: reasonOf(error) }, error.message);
  }
  return errorResponse(error, requestId);
}

/** What is behind an error that is somebody else's: its message says it, a stack of ours would not. */
function reasonOf(error: ApiError): string {
  for (let cause: unknown = error; ; cause = cause.cause) {
    if (!(cause instanceof Error)) return String(cause);
    if (!(cause.cause instanceof Error)) return cause.message;
  }
}

/** Neither a label nor a field takes what a client makes up. */
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
