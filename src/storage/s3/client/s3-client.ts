import type { HttpResponse } from "../../../http/connection.ts";
import type { HttpClient } from "../../../http/http-client.ts";
import { HttpError } from "../../../http/http-error.ts";
import type { HeaderFields } from "../../../http/message/header-fields.ts";
import type { BodySource, RequestBody } from "../../../http/message/outgoing-body.ts";
import { Failure } from "../../../jobs/failure.ts";
import type { Clock } from "../../../std/clock.ts";
import { sha256Hex } from "../../../std/digest.ts";
import { type CredentialSource, isAboutTheKeys } from "../credentials/credential-source.ts";
import { readAnswer } from "./answer-body.ts";
import { createDeadline, type Deadline } from "./request-deadline.ts";
import { early, refusal, S3Failure, s3CodeIn, timedOut, unreachable } from "./s3-failure.ts";
import { type EndpointOptions, ServiceEndpoint } from "./service-endpoint.ts";
import {
  canonicalQuery,
  createSigner,
  EMPTY_PAYLOAD_HASH,
  type S3Credentials,
  type Signer,
  UNSIGNED_PAYLOAD,
} from "./sign.ts";

export interface S3ClientOptions extends EndpointOptions {
  readonly credentials: CredentialSource;
  /** Sent with every request; lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly http: HttpClient;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly clock: Pick<Clock, "after" | "monotonic">;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Resolves after some milliseconds, or rejects with the signal's reason. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds without any progress until `UPLOAD_TIMEOUT`; default 30,000, and half of it for short requests. */
  readonly timeoutMs?: number;
}

/** A body that is sent piece by piece, on a new connection. */
export interface StreamedBody {
  /** Exact. A source that ends before is an error, and the server keeps nothing. */
  readonly bytes: number;
  readonly source: BodySource;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly bucket: string;
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** All are signed; lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | StreamedBody;
  /** The signed value for the body: its SHA-256 in hex where it is known, or AWS's word for a streamed body. */
  readonly payloadHash?: string;
}

export interface S3Answer {
  readonly headers: HeaderFields;
  readonly text: string;
}

/** Any answer, a refusal included. */
export interface S3Reply {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: Buffer;
}

const TIMEOUT_MS = 30_000;
const TRIES = 3;
const FIRST_BREAK_MS = 200;

/** How long each step of a request may take, in milliseconds. */
interface Limits {
  readonly connectTimeoutMs: number;
  readonly tlsTimeoutMs: number;
  readonly tunnelTimeoutMs: number;
  readonly idleTimeoutMs?: number;
}

/** Signed requests to one S3 service, straight to its address: no proxy, no redirects. */
export class S3Client {
  readonly #options: S3ClientOptions;
  readonly #endpoint: ServiceEndpoint;
  readonly #timeoutMs: number;
  /** For requests whose deadline the caller keeps. */
  readonly #limits: Limits;
  readonly #idleLimits: Limits;
  readonly #shortLimits: Limits;
  /** A signer derives a key for the day; it is good for as long as the keys are the same. */
  #signer: { readonly keys: S3Credentials; readonly sign: Signer } | undefined;

  constructor(options: S3ClientOptions) {
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#options = options;
    this.#endpoint = new ServiceEndpoint(options);
    this.#timeoutMs = timeoutMs;
    this.#limits = { connectTimeoutMs: timeoutMs, tlsTimeoutMs: timeoutMs, tunnelTimeoutMs: timeoutMs };
    this.#idleLimits = { ...this.#limits, idleTimeoutMs: timeoutMs };
    this.#shortLimits = { ...this.#limits, idleTimeoutMs: timeoutMs / 2 };
  }

  /** The clock of its limits. */
  get clock(): S3ClientOptions["clock"] {
    return this.#options.clock;
  }

  /** Starts the clock of one request. */
  deadline(request: S3Request, signal: AbortSignal): Deadline {
    const limitMs = this.#timeoutOf(request);
    return createDeadline({ clock: this.#options.clock, limitMs, signal, onLimit: () => timedOut(request, limitMs) });
  }

  /** One try; the answer's body is left to be read. Throws `Failure` without a 2xx, or the signal's reason. */
  async send(request: S3Request, clock: Deadline): Promise<HttpResponse> {
    try {
      const { response, keys } = await this.#dispatch(request, clock.signal, this.#limits);
      clock.touch();
      if (isSuccess(response)) return response;
      const text = (await readAnswer(response, clock.touch)).toString("utf8");
      this.#noteRefusal(keys, text);
      throw this.#refusalOf(request, response, text);
    } catch (error) {
      throw this.#failureOf(error, request, clock.signal);
    }
  }

  /**
   * One try with a clock of its own; the answer is read. Throws `Failure` without an answer, or the signal's reason.
   */
  async ask(request: S3Request, signal: AbortSignal): Promise<S3Reply> {
    const limits = isShort(request) ? this.#shortLimits : this.#idleLimits;
    try {
      const { response, keys } = await this.#dispatch(request, signal, limits);
      const { status, headers } = response;
      const reply = { status, headers, body: await readAnswer(response) };
      if (!isSuccess(reply)) this.#noteRefusal(keys, reply.body.toString("utf8"));
      return reply;
    } catch (error) {
      if (error instanceof HttpError && error.kind === "timeout") throw timedOut(request, this.#timeoutOf(request));
      throw this.#failureOf(error, request, signal);
    }
  }

  /** The same as `ask`, for answers of text. Throws `Failure` for anything but a 2xx, too. */
  async exchange(request: S3Request, signal: AbortSignal): Promise<S3Answer> {
    const reply = await this.ask(request, signal);
    const text = reply.body.toString("utf8");
    if (!isSuccess(reply)) throw this.#refusalOf(request, reply, text);
    return { headers: reply.headers, text };
  }

  /** Runs work up to three times, with short breaks, as long as its error `isPassing`. */
  async retrying<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { wait, random } = this.#options;
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === TRIES || !(error instanceof S3Failure) || !error.isPassing) throw error;
        await wait(FIRST_BREAK_MS * 4 ** (tries - 1) * (0.5 + random() / 2), signal);
      }
    }
  }

  /**
   * One request on its way, and the keys that signed it. Rejects with the HTTP client's error, or with `S3Failure` for
   * an early success: the body may be stored or not.
   */
  async #dispatch(request: S3Request, signal: AbortSignal, limits: Limits) {
    signal.throwIfAborted();
    const { credentials, http } = this.#options;
    const keys = await credentials.current(signal);
    const { host, path, fields, name } = this.#signed(request, keys);
    const response: HttpResponse = await http.send({
      method: request.method,
      target: await this.#endpoint.targetOf(name, signal),
      route: { kind: "direct" },
      path,
      host,
      fields,
      body: bodyOf(request, fields),
      limits,
      signal,
    });
    if (response.isEarly && isSuccess(response)) {
      response.body.discard();
      throw early(request, response.status);
    }
    return { response, keys };
  }

  #timeoutOf(request: S3Request): number {
    return isShort(request) ? this.#timeoutMs / 2 : this.#timeoutMs;
  }

  #signed(request: S3Request, keys: S3Credentials) {
    const { method, bucket, key, query } = request;
    const { name, host, path } = this.#endpoint.placeOf(bucket, key);
    const fields: Record<string, string> = { ...this.#options.headers, ...request.headers };
    const search = query === undefined ? "" : canonicalQuery(query);
    const unsigned = { method, host, path, query: search, headers: fields, payloadHash: hashOf(request) };
    Object.assign(fields, this.#signerOf(keys)(unsigned, this.#options.now()));
    return { host, path: search === "" ? path : `${path}?${search}`, fields, name };
  }

  #signerOf(keys: S3Credentials): Signer {
    if (this.#signer?.keys !== keys) this.#signer = { keys, sign: createSigner(this.#options.region, keys) };
    return this.#signer.sign;
  }

  /** Reports to the source of the keys that S3 refuses the keys, and not the request. */
  #noteRefusal(keys: S3Credentials, text: string): void {
    if (isAboutTheKeys(s3CodeIn(text))) this.#options.credentials.refused(keys);
  }

  #refusalOf(request: S3Request, answer: Pick<S3Reply, "status" | "headers">, text: string): S3Failure {
    return refusal(request, answer.status, text, otherRegion(answer, this.#options.region));
  }

  #failureOf(error: unknown, request: S3Request, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    return error instanceof Failure ? error : unreachable(request, this.#endpoint.host, error);
  }
}

/** Whether a request is soon done: it carries no body and starts no work. */
function isShort({ body, method }: S3Request): boolean {
  return body === undefined && method !== "POST";
}

/** Bytes at hand are signed too: the server refuses a body that was damaged on its way. */
function hashOf({ body, payloadHash }: S3Request): string {
  if (payloadHash !== undefined) return payloadHash;
  if (body === undefined) return EMPTY_PAYLOAD_HASH;
  return body instanceof Uint8Array ? sha256Hex(body) : UNSIGNED_PAYLOAD;
}

/** The region of the bucket by an answer, where requests are signed for another one. */
export function otherRegion({ headers }: Pick<S3Reply, "headers">, region: string): string | undefined {
  const named = headers.get("x-amz-bucket-region");
  return named === region ? undefined : named;
}

export function isSuccess({ status }: Pick<S3Reply, "status">): boolean {
  return status >= 200 && status <= 299;
}

function bodyOf({ method, body }: S3Request, fields: Record<string, string>): RequestBody {
  const bytes = body instanceof Uint8Array ? body.byteLength : (body?.bytes ?? 0);
  if (body !== undefined || method === "PUT" || method === "POST") fields["content-length"] = String(bytes);
  return body instanceof Uint8Array ? body : body?.source;
}
