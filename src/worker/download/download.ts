import type { HttpResponse } from "../../http/connection.ts";
import { Failure, httpFailure } from "../../jobs/failure.ts";
import type { AttemptRecord, TaskResult } from "../../jobs/task.ts";
import type { Outcome } from "../../jobs/verdict.ts";
import { type RequestHeaders, withDefaults } from "../../net/request-header.ts";
import { retryAfterMs } from "../../net/retry-after.ts";
import type { Attempt, AttemptTrace } from "../attempt.ts";
import type { ConfiguredHeaders } from "../configured-headers.ts";
import { InterruptedError } from "../interrupted.ts";
import type { SecretMask } from "../secret-mask.ts";
import { type Service, serviceOf } from "../service.ts";
import type { ActiveDownloads } from "./active-downloads.ts";
import { AttemptCookies } from "./cookies.ts";
import { withStartOf } from "./download-body.ts";
import { type ProxyEndpoint, type ProxyPools } from "./proxies.ts";
import { ProxyFailures } from "./proxy-failures.ts";
import { follow } from "./redirects.ts";
import { type Hop, isAnsweredByProxy, ProxyFailureError, type RequestDeps, request } from "./request.ts";
import { type TransferDeps, transfer } from "./transfer.ts";

export interface DownloadDeps extends RequestDeps, TransferDeps {
  readonly userAgent: string;
  readonly configuredHeaders: Pick<ConfiguredHeaders, "for">;
  readonly secrets: Pick<SecretMask, "outcome">;
  readonly maxRedirects: number;
  readonly allowDowngrade: boolean;
  readonly proxies: ProxyPools;
  readonly active: ActiveDownloads;
  readonly onProxyFailure: (pool: string) => void;
  readonly startSpan: (claimed: Attempt["claimed"]) => AttemptSpan;
}

/** An attempt's span in a distributed trace. */
interface AttemptSpan {
  /** Every request carries it (W3C trace context). */
  readonly traceparent: string;
  end(outcome: Outcome): void;
}

/** The innermost service: fetches one URL and stores its body. */
export function download(deps: DownloadDeps): Service {
  return serviceOf(async (attempt): Promise<Outcome> => {
    const startedAt = deps.clock.now();
    const startedMonotonic = deps.clock.monotonic();
    const span = deps.startSpan(attempt.claimed);
    deps.active.begin(attempt, startedMonotonic);
    // An abandoned attempt holds its key, too.
    const releaseKey = deps.keys.hold(attempt.claimed.task);
    let outcome: Outcome;
    try {
      const result = await fetchAndStore(attempt, { startedAt, traceparent: span.traceparent }, deps);
      outcome = { kind: "stored", result };
    } catch (error) {
      outcome = outcomeOf(error, attempt.trace, startedAt, deps.clock.monotonic() - startedMonotonic);
    } finally {
      releaseKey();
      deps.active.end(attempt);
    }
    const shown = deps.secrets.outcome(outcome);
    span.end(shown);
    return shown;
  });
}

interface Start {
  readonly startedAt: number;
  readonly traceparent: string;
}

async function fetchAndStore(
  attempt: Attempt,
  { startedAt, traceparent }: Start,
  deps: DownloadDeps,
): Promise<TaskResult> {
  const { claimed, trace } = attempt;
  const { task } = claimed;
  const { maxRedirects, allowDowngrade } = deps;
  const cookies = new AttemptCookies(deps.clock);
  const ours = { Accept: "*/*", "User-Agent": deps.userAgent, traceparent };
  const get = async (url: URL, given: RequestHeaders) => {
    // Bytes are stored as they are served.
    const headers = { ...withDefaults(given, ours), "Accept-Encoding": "identity" };
    const response = await throughPool(task.proxyPool, { url, headers, attempt }, deps);
    return { ...response, discard: () => response.body.discard() };
  };
  const configured = (url: URL) => deps.configuredHeaders.for(claimed.job.jobType, url);
  const ask = (more: RequestHeaders) =>
    follow(new URL(task.url), { ...task.headers, ...more }, { maxRedirects, allowDowngrade, cookies, configured, get });
  const { response, url } = await ask({});
  if (response.status !== 200 && response.status !== 203) {
    // The pause is computed first: the wait for the body must not change it.
    const pauseMs = retryAfterMs(response.headers.get("retry-after") ?? null, deps.clock.now());
    throw await withStartOf(response.body, httpFailure(response.status, pauseMs), attempt, deps.clock);
  }
  deps.active.expect(attempt, Number(response.headers.get("content-length") ?? task.size ?? 0));
  // A reopened download starts from the original URL: the redirect's target may have expired.
  const reopen = async (headers: RequestHeaders) => {
    try {
      return (await ask(headers)).response;
    } finally {
      trace.httpStatus = response.status; // the record shows the first answer, whatever the status of the rest
    }
  };
  const stored = await transfer(response, attempt, reopen, deps);
  return {
    finalUrl: withoutUserinfo(url),
    httpStatus: response.status,
    bytes: stored.bytes,
    integrity: stored.integrity,
    sha256: stored.sha256,
    etag: stored.etag,
    contentType: stored.contentType,
    contentEncoding: stored.contentEncoding,
    storageUrl: deps.store.urlOf(task),
    startedAt,
  };
}

/** The answer to one request: direct, or through the endpoints of the pool and its fallbacks until one works. */
async function throughPool(pool: string | undefined, hop: Hop, deps: DownloadDeps): Promise<HttpResponse> {
  if (pool === undefined) return request(hop, undefined, deps);
  const failures = new ProxyFailures(pool);
  for (const endpoint of deps.proxies.attempts(pool)) {
    hop.attempt.trace.proxy = endpoint.url;
    const response = await throughProxy(endpoint, hop, deps);
    if (!(response instanceof ProxyFailureError)) return response;
    failures.add(endpoint, response.message);
    deps.onProxyFailure(endpoint.pool);
  }
  throw failures.toFailure();
}

/** Returns the failure of a proxy instead of throwing it: another endpoint may work. */
async function throughProxy(
  endpoint: ProxyEndpoint,
  hop: Hop,
  deps: DownloadDeps,
): Promise<HttpResponse | ProxyFailureError> {
  try {
    const response = await request(hop, endpoint, deps);
    if (response.status === 407 && isAnsweredByProxy(hop.url, endpoint)) {
      response.body.discard();
      throw new ProxyFailureError("it wants other credentials (407)");
    }
    deps.proxies.report(endpoint, "works");
    return response;
  } catch (error) {
    if (error instanceof ProxyFailureError) {
      deps.proxies.report(endpoint, error.report, error.message);
      return error;
    }
    if (error instanceof Failure && error.code === "DOWNLOAD_TIMEOUT") {
      deps.proxies.report(endpoint, "silent", error.message);
    }
    throw error;
  }
}

/** The outcome of an attempt that threw. @throws the error, if it is neither a failure nor an interruption */
function outcomeOf(error: unknown, trace: AttemptTrace, startedAt: number, tookMs: number): Outcome {
  if (error instanceof InterruptedError) return { kind: "interrupted", by: error.by };
  if (!(error instanceof Failure)) throw error;
  return { kind: "failed", failure: error, attempt: attemptOf(error, trace, startedAt, Math.round(tookMs)) };
}

function attemptOf(failure: Failure, trace: AttemptTrace, startedAt: number, durationMs: number): AttemptRecord {
  return {
    startedAt,
    durationMs,
    code: failure.code,
    message: failure.message,
    bytes: trace.bytes,
    ...(failure.bodyStart !== undefined && { bodyStart: failure.bodyStart }),
    ...(trace.httpStatus !== 0 && { httpStatus: trace.httpStatus }),
    ...(trace.address !== "" && { address: trace.address }),
    ...(trace.proxy !== "" && { proxy: trace.proxy }),
  };
}

function withoutUserinfo(url: URL): string {
  if (url.username === "" && url.password === "") return url.href;
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  return shown.href;
}
