import type { Client } from "openapi-fetch";
import { encode, jsonBytes, sha256Hex } from "./body.ts";
import { FetchBoxError } from "./errors.ts";
import { followLog } from "./follow-log.ts";
import * as model from "./model.ts";
import type { paths } from "./openapi.ts";
import { rowsOf } from "./pages.ts";
import { delay } from "./retry.ts";
import { checkedHeader, Transport, type TransportOptions } from "./transport.ts";
import { type Batch, batchesOf, type JobTemplate } from "./url-batches.ts";

export interface ClientOptions extends TransportOptions {}

/** Options of every method: the signal ends the request, its repeats and its waits. */
export interface RequestOptions {
  readonly signal?: AbortSignal;
}

export interface SubmitOptions extends RequestOptions {
  readonly jobType?: string;
  readonly tenant?: string;
  /** 1 to 255 visible ASCII characters; default: a new key for each call. */
  readonly idempotencyKey?: string;
}

export interface SubmitUrlsOptions extends Omit<SubmitOptions, "idempotencyKey"> {
  /** The URLs of one job; default 1000, as `api.max_resources_per_manifest`. */
  readonly batchSize?: number;
  /** The rest of each manifest. A change submits the URLs again, because the jobs differ. */
  readonly template?: JobTemplate;
  /** Called after each job. */
  readonly onSubmitted?: (job: model.Accepted) => void;
}

export interface WaitOptions extends RequestOptions {
  /** Default: no limit. */
  readonly timeoutMs?: number;
}

const BATCH_SIZE = 1000;
/** A submission may be large, on a slow connection. */
const SUBMIT_TIMEOUTS = 10;
const POLL_FIRST_MS = 100;
const POLL_MAX_MS = 2000;

/** A client of a FetchBox service. All its methods throw `FetchBoxError`, or the reason of an aborted signal. */
export class FetchBoxClient {
  readonly #transport: Transport;

  /** @throws FetchBoxError with `INVALID_ARGUMENT` if the URL or the token is invalid */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
  }

  /** The typed openapi-fetch client of every endpoint, for requests that no method covers. It repeats no request. */
  get api(): Client<paths> {
    return this.#transport.api;
  }

  /** Submits a manifest. Repeats keep the idempotency key, so a lost answer makes no second job. */
  async submit(manifest: model.Manifest, options: SubmitOptions = {}): Promise<model.Accepted> {
    const key = options.idempotencyKey ?? `client-${crypto.randomUUID()}`;
    return await this.#post(manifest, jsonBytes(manifest), key, options);
  }

  /**
   * Submits a long list of URLs as jobs of at most `batchSize` URLs, in order. The key of a job depends on its content,
   * so the same call submits only missing jobs after an interruption.
   */
  async submitUrls(
    urls: Iterable<string> | AsyncIterable<string>,
    options: SubmitUrlsOptions = {},
  ): Promise<model.Accepted[]> {
    const { batchSize = BATCH_SIZE, template = {}, onSubmitted, ...rest } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new FetchBoxError("INVALID_ARGUMENT", "batchSize must be a whole number of at least 1");
    }
    const jobs: model.Accepted[] = [];
    for await (const batch of batchesOf(urls, batchSize, template)) {
      const job = await this.#submitBatch(batch, rest);
      jobs.push(job);
      onSubmitted?.(job);
    }
    return jobs;
  }

  async #submitBatch({ manifest, firstAt }: Batch, options: SubmitOptions): Promise<model.Accepted> {
    const bytes = jsonBytes(manifest);
    try {
      return await this.#post(manifest, bytes, `urls-${await sha256Hex(bytes)}`, options);
    } catch (error) {
      throw withListPlaces(error, firstAt);
    }
  }

  async #post(
    manifest: model.Manifest,
    bytes: Uint8Array<ArrayBuffer>,
    key: string,
    { jobType, tenant, signal }: SubmitOptions,
  ): Promise<model.Accepted> {
    const body = await encode(bytes);
    const header = {
      "Idempotency-Key": checkedHeader("idempotencyKey", key),
      ...(jobType !== undefined && { "X-Fetchbox-Job-Type": checkedHeader("jobType", jobType) }),
      ...(tenant !== undefined && { "X-Fetchbox-Tenant": checkedHeader("tenant", tenant) }),
      ...(body.encoding !== undefined && { "Content-Encoding": body.encoding }),
    };
    return await this.#transport.call(
      (limit) =>
        this.api.POST("/jobs", {
          body: manifest,
          bodySerializer: () => body.bytes,
          params: { header },
          signal: limit,
        }),
      { signal, timeoutMs: this.#transport.requestTimeoutMs * SUBMIT_TIMEOUTS },
    );
  }

  /** The state of a job. */
  async job(jobId: string, { signal }: RequestOptions = {}): Promise<model.Job> {
    const params = { path: { job_id: jobId } };
    return await this.#transport.call((limit) => this.api.GET("/operators/jobs/{job_id}", { params, signal: limit }), {
      signal,
    });
  }

  /** The jobs, newest first. */
  jobs(filter: model.JobFilter = {}, { signal }: RequestOptions = {}): AsyncGenerator<model.Job, void, undefined> {
    return rowsOf(
      this.#transport,
      ({ signal: limit, ...cursor }) =>
        this.api.GET("/operators/jobs", { params: { query: { ...filter, ...cursor } }, signal: limit }),
      ({ jobs }) => jobs,
      signal,
    );
  }

  /** The resources of a job with their results. */
  resources(
    jobId: string,
    filter: model.ResourceFilter = {},
    { signal }: RequestOptions = {},
  ): AsyncGenerator<model.Resource, void, undefined> {
    const path = { job_id: jobId };
    return rowsOf(
      this.#transport,
      ({ signal: limit, ...cursor }) =>
        this.api.GET("/operators/jobs/{job_id}/resources", {
          params: { path, query: { ...filter, ...cursor } },
          signal: limit,
        }),
      ({ resources }) => resources,
      signal,
    );
  }

  /** The dead letters, newest first. */
  deadLetters(
    filter: model.DeadLetterFilter = {},
    { signal }: RequestOptions = {},
  ): AsyncGenerator<model.DeadLetter, void, undefined> {
    return rowsOf(
      this.#transport,
      async ({ signal: limit, ...cursor }) => {
        const params = { query: { ...filter, ...cursor } };
        const headers = { accept: "application/json" };
        const { data, ...answer } = await this.api.GET("/operators/dlq", { params, headers, signal: limit });
        // A text is the answer to another `Accept`.
        return data === undefined || typeof data === "string" ? answer : { ...answer, data };
      },
      ({ entries }) => entries,
      signal,
    );
  }

  /** The rows of a job's log, existing and new ones, up to the job's end. It resumes after broken connections. */
  follow(
    jobId: string,
    filter: model.LogFilter = {},
    { signal }: RequestOptions = {},
  ): AsyncGenerator<model.LogRow, void, undefined> {
    return followLog(this.#transport, jobId, { filter, signal });
  }

  /** The job once it has ended, whatever its status is. @throws FetchBoxError with `TIMEOUT` after `timeoutMs` */
  async wait(jobId: string, { timeoutMs, signal }: WaitOptions = {}): Promise<model.Job> {
    if (timeoutMs === undefined) return await this.#poll(jobId, signal);
    return await this.#transport.within(timeoutMs, signal, async (limit) => {
      try {
        return await this.#poll(jobId, limit);
      } catch (error) {
        if (!limit.aborted || signal?.aborted) throw error;
        throw new FetchBoxError("TIMEOUT", `job ${jobId} did not end within ${timeoutMs / 1000} s; it continues`);
      }
    });
  }

  async #poll(jobId: string, signal: AbortSignal | undefined): Promise<model.Job> {
    for (let pauseMs = POLL_FIRST_MS; ; pauseMs = Math.min(POLL_MAX_MS, pauseMs * 1.5)) {
      const job = await this.job(jobId, signal === undefined ? {} : { signal });
      if (model.isFinished(job)) return job;
      await delay(pauseMs, signal);
    }
  }

  /** Cancels a job. The returned job may still run; `wait` returns its final state. */
  async cancel(jobId: string, { signal }: RequestOptions = {}): Promise<model.Job> {
    const params = { path: { job_id: jobId } };
    return await this.#transport.call(
      (limit) => this.api.POST("/operators/jobs/{job_id}/cancel", { params, signal: limit }),
      { signal },
    );
  }

  /**
   * Tries dead letters again, by `task_ids` or `filter`; `dry_run` only counts. A long replay continues in the
   * background, and its `operation` is in the result. A lost answer is not repeated: its counts would be wrong.
   */
  async replay(request: model.ReplayRequest, { signal }: RequestOptions = {}): Promise<model.Replayed> {
    return await this.#transport.call(
      (limit) => this.api.POST("/operators/dlq/replay", { body: request, signal: limit }),
      { signal, repeatable: "refused" },
    );
  }

  /** Discards dead letters, by `task_ids` or `filter`; otherwise as `replay`. */
  async discard(request: model.DiscardRequest, { signal }: RequestOptions = {}): Promise<model.Discarded> {
    return await this.#transport.call(
      (limit) => this.api.POST("/operators/dlq/give-up", { body: request, signal: limit }),
      { signal, repeatable: "refused" },
    );
  }

  /** The health of each component. An unhealthy service is a result, and no error. */
  async health({ signal }: RequestOptions = {}): Promise<model.Health> {
    return await this.#transport.call(
      async (limit) => {
        const answer = await this.api.GET("/operators/health", { signal: limit });
        const body: unknown = answer.error;
        return model.isHealth(body) ? { data: body, response: new Response() } : answer;
      },
      { signal },
    );
  }
}

/** The same error with the places of URLs in the list, in place of those in one job. */
function withListPlaces(error: unknown, firstAt: number): unknown {
  if (!(error instanceof FetchBoxError) || error.details.length === 0) return error;
  const inList = (text: string) =>
    text.replaceAll(/\/resources\/(\d+)\//g, (_, at: string) => `/urls/${firstAt + Number(at)}/`);
  const { status, requestId, retryAfterMs } = error;
  const details = error.details.map(({ path, message }) => ({ path: inList(path), message }));
  return new FetchBoxError(error.code, inList(error.message), {
    status,
    requestId,
    retryAfterMs,
    details,
    cause: error,
  });
}
