import { isIP } from "node:net";
import type { HttpResponse } from "../../../http/connection.ts";
import type { HttpClient } from "../../../http/http-client.ts";
import { HttpError } from "../../../http/http-error.ts";
import type { HeaderFields } from "../../../http/message/header-fields.ts";
import type { BodySource, RequestBody } from "../../../http/message/outgoing-body.ts";
import type { Target } from "../../../http/route.ts";
import { Failure } from "../../../jobs/failure.ts";
import { type CredentialSource, isAboutTheKeys } from "../credentials/credential-source.ts";
import { readAnswer } from "./answer-body.ts";
import { createDeadline, type Deadline } from "./request-deadline.ts";
import { refusal, S3Failure, s3CodeIn, timedOut, unreachable } from "./s3-failure.ts";
import {
  canonicalQuery,
  createSigner,
  EMPTY_PAYLOAD_HASH,
  encodePath,
  type S3Credentials,
  type Signer,
  sha256Hex,
  UNSIGNED_PAYLOAD,
} from "./sign.ts";

export interface S3ClientOptions {
  /** URL of the service, `http:` or `https:`, with a path where addressing is by path; empty = AWS of the region. */
  readonly endpoint: string;
  readonly region: string;
  /** `host/bucket/key` or `bucket.host/key`. */
  readonly addressing: "path" | "virtual";
  readonly credentials: CredentialSource;
  /** Sent with every request; lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly http: HttpClient;
  /** The addresses of the endpoint's name, in the order to try them. */
  readonly resolve: (name: string, signal: AbortSignal) => Promise<readonly string[]>;
  /** More authorities in PEM to trust, beside the system's. */
  readonly ca?: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Resolves after so many milliseconds, or rejects with the signal's reason. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds without any progress until `UPLOAD_TIMEOUT`; default 30,000, and half of it for what is soon done. */
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
  /** What is signed of the body: its SHA-256 in hex where it is known, or a word of AWS's for a streamed one. */
  readonly payloadHash?: string;
}

export interface S3Answer {
  readonly headers: HeaderFields;
  readonly text: string;
}

/** Whatever came back, a refusal included. */
export interface S3Reply {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: Buffer;
}

export interface S3Client {
  /** Starts the clock of one request. */
  deadline(request: S3Request, signal: AbortSignal): Deadline;
  /** One try; the answer's body is left to be read. Throws `Failure` for anything but a 2xx, or the reason. */
  send(request: S3Request, deadline: Deadline): Promise<HttpResponse>;
  /**
   * One try with a clock of its own, the answer read, whatever it says. Throws `Failure` without one, or the reason.
   */
  ask(request: S3Request, signal: AbortSignal): Promise<S3Reply>;
  /** The same, for answers of text. Throws `Failure` for anything but a 2xx, too. */
  exchange(request: S3Request, signal: AbortSignal): Promise<S3Answer>;
  /** Runs work up to three times, with short breaks, as long as what it throws `isPassing`. */
  retrying<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

const TIMEOUT_MS = 30_000;
const TRIES = 3;
const FIRST_BREAK_MS = 200;

/** Signed requests to one S3 service, straight to its address: no proxy, no redirects. */
export function createS3Client(options: S3ClientOptions): S3Client {
  const { region, addressing, now, wait, random } = options;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const base = serviceUrl(options);
  const basePath = base.pathname.replace(/\/$/, "");
  let signer: { readonly keys: S3Credentials; readonly sign: Signer } | undefined;

  /** A signer derives a key for the day; it is good for as long as the keys are the same. */
  function signerOf(keys: S3Credentials): Signer {
    if (signer?.keys !== keys) signer = { keys, sign: createSigner(region, keys) };
    return signer.sign;
  }

  const limits = { connectTimeoutMs: timeoutMs, tlsTimeoutMs: timeoutMs, tunnelTimeoutMs: timeoutMs };
  const limitsInTime = { ...limits, idleTimeoutMs: timeoutMs };
  /** Of what is soon done. */
  const limitsOfShort = { ...limits, idleTimeoutMs: timeoutMs / 2 };

  function limitsOf({ body, method }: S3Request): typeof limitsInTime {
    return body === undefined && method !== "POST" ? limitsOfShort : limitsInTime;
  }

  function deadline(request: S3Request, signal: AbortSignal): Deadline {
    const ms = limitsOf(request).idleTimeoutMs;
    return createDeadline(signal, ms, () => timedOut(request, ms));
  }

  const port = base.port === "" ? (base.protocol === "https:" ? 443 : 80) : Number(base.port);

  function signed(request: S3Request, keys: S3Credentials) {
    const { method, bucket, key, query } = request;
    const headers = { ...options.headers, ...request.headers };
    const virtual = addressing === "virtual";
    const host = virtual ? `${bucket}.${base.host}` : base.host;
    const inBucket = key === undefined ? "" : encodePath(key);
    const inService = key === undefined ? `/${bucket}` : `/${bucket}/${inBucket}`;
    const path = virtual ? `/${inBucket}` : basePath + inService;
    const search = query === undefined ? "" : canonicalQuery(query);
    const payloadHash = hashOf(request);
    return {
      host,
      path: search === "" ? path : `${path}?${search}`,
      fields: signerOf(keys)({ method, host, path, query: search, headers, payloadHash }, now()),
      name: virtual ? `${bucket}.${base.hostname}` : base.hostname,
    };
  }

  /** A name that cannot be resolved is a storage that cannot be reached, and no failure of a download. */
  async function resolved(name: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      return await options.resolve(name, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new HttpError("connect", error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  /** Where the request goes: the addresses of the endpoint, and the name that its certificate must have. */
  function targetOf(name: string, signal: AbortSignal): Target | Promise<Target> {
    const literal = name.replace(/^\[|\]$/g, "");
    const target = (addresses: readonly string[], serverName?: string): Target => ({
      addresses,
      port,
      tls: base.protocol === "https:" ? { serverName, ca: options.ca } : undefined,
    });
    if (isIP(literal) !== 0) return target([literal]);
    return resolved(name, signal).then((addresses) => target(addresses, name));
  }

  /** One request on its way, and the keys that signed it. Rejects with whatever the HTTP client does. */
  async function dispatch(request: S3Request, signal: AbortSignal, routeLimits: typeof limits) {
    signal.throwIfAborted();
    const keys = await options.credentials.current(signal);
    const { host, path, fields, name } = signed(request, keys);
    const response: HttpResponse = await options.http.send({
      method: request.method,
      target: await targetOf(name, signal),
      route: { kind: "direct" },
      path,
      host,
      fields,
      body: bodyOf(request, fields),
      limits: routeLimits,
      signal,
    });
    return { response, keys };
  }

  /** Tells the source of the keys where S3 refuses these, and not the request. */
  function noteRefusal(keys: S3Credentials, text: string): void {
    if (isAboutTheKeys(s3CodeIn(text))) options.credentials.refused(keys);
  }

  async function send(request: S3Request, clock: Deadline): Promise<HttpResponse> {
    try {
      const { response, keys } = await dispatch(request, clock.signal, limits);
      clock.touch();
      if (isSuccess(response)) return response;
      const text = (await readAnswer(response, clock.touch)).toString("utf8");
      noteRefusal(keys, text);
      throw refusal(request, response.status, text, otherRegion(response, region));
    } catch (error) {
      throw failureOf(error, request, clock.signal);
    }
  }

  async function exchange(request: S3Request, signal: AbortSignal): Promise<S3Answer> {
    const reply = await ask(request, signal);
    const text = reply.body.toString("utf8");
    if (!isSuccess(reply)) throw refusal(request, reply.status, text, otherRegion(reply, region));
    return { headers: reply.headers, text };
  }

  async function ask(request: S3Request, signal: AbortSignal): Promise<S3Reply> {
    const limited = limitsOf(request);
    try {
      const { response, keys } = await dispatch(request, signal, limited);
      const { status, headers } = response;
      const reply = { status, headers, body: await readAnswer(response) };
      if (!isSuccess(reply)) noteRefusal(keys, reply.body.toString("utf8"));
      return reply;
    } catch (error) {
      if (error instanceof HttpError && error.kind === "timeout") throw timedOut(request, limited.idleTimeoutMs);
      throw failureOf(error, request, signal);
    }
  }

  function failureOf(error: unknown, request: S3Request, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    return error instanceof Failure ? error : unreachable(request, base.host, error);
  }

  async function retrying<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === TRIES || !(error instanceof S3Failure) || !error.isPassing) throw error;
        await wait(FIRST_BREAK_MS * 4 ** (tries - 1) * (0.5 + random() / 2), signal);
      }
    }
  }

  return { deadline, send, ask, exchange, retrying };
}

/** AWS in China has a domain of its own. */
function awsEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
}

export function serviceUrl({ endpoint, region }: Pick<S3ClientOptions, "endpoint" | "region">): URL {
  return new URL(endpoint === "" ? awsEndpoint(region) : endpoint);
}

/** Bytes at hand are signed too: the server refuses what was damaged on the way. */
function hashOf({ body, payloadHash }: S3Request): string {
  if (payloadHash !== undefined) return payloadHash;
  if (body === undefined) return EMPTY_PAYLOAD_HASH;
  return body instanceof Uint8Array ? sha256Hex(body) : UNSIGNED_PAYLOAD;
}

/** The region that an answer says the bucket is in, if requests are signed for another one. */
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
