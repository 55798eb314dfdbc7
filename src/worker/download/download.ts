import type { HttpResponse } from "../../http/connection.ts";
import { Failure, httpFailure } from "../../jobs/failure.ts";
import type { AttemptRecord, ClaimedTask, TaskResult } from "../../jobs/task.ts";
import type { Outcome } from "../../jobs/verdict.ts";
import { type RequestHeaders, withDefaults } from "../../net/request-header.ts";
import { retryAfterMs } from "../../net/retry-after.ts";
import type { ConfiguredHeaders } from "../configured-headers.ts";
import { InterruptedError } from "../interrupted.ts";
import type { RunningAttempt } from "../running-attempt.ts";
import type { SecretMask } from "../secret-mask.ts";
import { type Service, serviceOf } from "../service.ts";
import type { ActiveDownloads } from "./active-downloads.ts";
import { storedCodings } from "./codings.ts";
import { AttemptCookies } from "./cookies.ts";
import { type ProxyEndpoint, type ProxyPools } from "./proxies.ts";
import { ProxyFailures } from "./proxy-failures.ts";
import { follow } from "./redirects.ts";
import {
  type AttemptTrace,
  type Hop,
  isAnsweredByProxy,
  ProxyFailureError,
  type RequestDeps,
  request,
} from "./request.ts";
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
  readonly startSpan: (claimed: ClaimedTask) => AttemptSpan;
}

/** One attempt as a trace shows it. */
export interface AttemptSpan {
  /** Goes out with its requests (W3C trace context). */
  readonly traceparent: string;
  end(outcome: Outcome): void;
}

/** The innermost service: fetches one URL and stores what it gets. */
export function download(deps: DownloadDeps): Service {
  return serviceOf(async (claimed, attempt): Promise<Outcome> => {
    const startedAt = deps.clock.now();
    const begun = deps.clock.monotonic();
    const trace: AttemptTrace = { address: "", proxy: "", httpStatus: 0, bytes: 0 };
    const span = deps.startSpan(claimed);
    deps.active.begin(claimed, trace, begun);
    // Also where nobody waits for its end any more.
    const letGo = deps.keys.hold(claimed.task);
    let outcome: Outcome;
    try {
      const begin = { trace, startedAt, traceparent: span.traceparent };
      outcome = { kind: "stored", result: await fetchAndStore(claimed, begin, attempt, deps) };
    } catch (error) {
      outcome = outcomeOf(error, trace, startedAt, deps.clock.monotonic() - begun);
    } finally {
      letGo();
      deps.active.end(claimed);
    }
    const shown = deps.secrets.outcome(outcome);
    span.end(shown);
    return shown;
  });
}

interface Begin {
  readonly trace: AttemptTrace;
  readonly startedAt: number;
  readonly traceparent: string;
}

async function fetchAndStore(
  claimed: ClaimedTask,
  { trace, startedAt, traceparent }: Begin,
  attempt: RunningAttempt,
  deps: DownloadDeps,
): Promise<TaskResult> {
  const { task } = claimed;
  const { maxRedirects, allowDowngrade } = deps;
  const cookies = new AttemptCookies(deps.clock);
  const ours = { Accept: "*/*", "User-Agent": deps.userAgent, traceparent };
  const get = async (url: URL, given: RequestHeaders) => {
    // Bytes are stored as they are served.
    const headers = { ...withDefaults(given, ours), "Accept-Encoding": "identity" };
    const response = await throughPool(task.proxyPool, { url, headers, trace, signal: attempt.signal }, deps);
    return { ...response, discard: () => response.body.discard() };
  };
  const configured = (url: URL) => deps.configuredHeaders.for(claimed.job.jobType, url);
  const ask = (more: RequestHeaders) =>
    follow(new URL(task.url), { ...task.headers, ...more }, { maxRedirects, allowDowngrade, cookies, configured, get });
  const { response, url } = await ask({});
  if (response.status !== 200 && response.status !== 203) {
    response.body.discard();
    throw httpFailure(response.status, retryAfterMs(response.headers.get("retry-after") ?? null, deps.clock.now()));
  }
  deps.active.expect(claimed, Number(response.headers.get("content-length") ?? task.size ?? 0));
  // From the original URL: what it redirected to may have expired.
  const reopen = async (headers: RequestHeaders) => {
    try {
      return (await ask(headers)).response;
    } finally {
      trace.httpStatus = response.status; // the attempt's, whatever became of the rest
    }
  };
  const stored = await transfer(response, claimed, trace, attempt, deps, reopen);
  return {
    finalUrl: withoutUserinfo(url),
    httpStatus: response.status,
    bytes: stored.bytes,
    integrity: stored.integrity,
    sha256: stored.sha256,
    etag: stored.etag,
    contentType: stored.contentType,
    contentEncoding: storedCodings(response.headers),
    storageUrl: deps.store.urlOf(task),
    startedAt,
  };
}

/** One hop directly, or by the pool's endpoints and its fallbacks' until one of them works. */
async function throughPool(pool: string | undefined, hop: Hop, deps: DownloadDeps): Promise<HttpResponse> {
  if (pool === undefined) return request(hop, undefined, deps);
  const failures = new ProxyFailures(pool);
  for (const endpoint of deps.proxies.attempts(pool)) {
    hop.trace.proxy = endpoint.url;
    const response = await throughProxy(endpoint, hop, deps);
    if (!(response instanceof ProxyFailureError)) return response;
    failures.add(endpoint, response.message);
    deps.onProxyFailure(endpoint.pool);
  }
  throw failures.toFailure();
}

/** Gives the failure, and does not throw it, if it was the proxy that failed: another one may do better. */
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

/** @throws what is neither a failure nor an interruption */
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
