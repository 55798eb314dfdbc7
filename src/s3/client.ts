import { Failure } from "../jobs/failure.ts";
import { readAnswer } from "./answer-body.ts";
import { createDeadline, type Deadline } from "./deadline.ts";
import { createHandover } from "./handover.ts";
import { refusal, S3Failure, timedOut, unreachable } from "./s3-failure.ts";
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
  /** Origin of the service, `http:` or `https:`; empty = AWS of the region. */
  readonly endpoint: string;
  readonly region: string;
  /** `host/bucket/key` or `bucket.host/key`. */
  readonly addressing: "path" | "virtual";
  readonly credentials: S3Credentials;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Resolves after so many milliseconds, or rejects with the signal's reason. */
  readonly wait: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Milliseconds without any progress until `UPLOAD_TIMEOUT`; default 30,000, and half of it for what is soon done. */
  readonly timeoutMs?: number;
}

/** A body that is sent piece by piece, on a connection of its own. */
export interface StreamedBody {
  /** Exact. A stream that ends before is an error, and the server keeps nothing. */
  readonly bytes: number;
  readonly stream: ReadableStream<Uint8Array>;
}

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly bucket: string;
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  /** All are signed; lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | StreamedBody;
  /** The body's SHA-256 in hex, where it is known and the body is sent whole. */
  readonly sha256?: string;
}

export interface S3Answer {
  readonly headers: Headers;
  readonly text: string;
}

export interface S3Client {
  /** Starts the clock of one request. */
  deadline(request: S3Request, signal: AbortSignal): Deadline;
  /** One try; the answer's body is left to be read. Throws `Failure` for anything but a 2xx, or the reason. */
  send(request: S3Request, deadline: Deadline): Promise<Response>;
  /** One try with a clock of its own, the answer read. Throws `Failure` for anything but a 2xx, or the reason. */
  exchange(request: S3Request, signal: AbortSignal): Promise<S3Answer>;
  /** Runs work up to three times, with short breaks, as long as what it throws `isPassing`. */
  retrying<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

const TIMEOUT_MS = 30_000;
/** Up to here a body is signed and sent as a whole; a longer one in pieces, which show that it goes on. */
const WHOLE_BYTES_MAX = 1024 * 1024;
const TRIES = 3;
const FIRST_BREAK_MS = 200;

/** Signed requests to one S3 service, straight to its address: no proxy, no redirects. */
export function createS3Client(options: S3ClientOptions): S3Client {
  const { region, addressing, now, wait, random } = options;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const base = new URL(options.endpoint === "" ? `https://s3.${region}.amazonaws.com` : options.endpoint);
  const sign: Signer = createSigner(region, options.credentials);

  function deadline(request: S3Request, signal: AbortSignal): Deadline {
    const isSoonDone = request.body === undefined && request.method !== "POST";
    const ms = isSoonDone ? timeoutMs / 2 : timeoutMs;
    return createDeadline(signal, ms, () => timedOut(request, ms));
  }

  function signed(request: S3Request) {
    const { method, bucket, key, query, headers = {} } = request;
    const virtual = addressing === "virtual";
    const host = virtual ? `${bucket}.${base.host}` : base.host;
    const inBucket = key === undefined ? "" : encodePath(key);
    const path = virtual ? `/${inBucket}` : key === undefined ? `/${bucket}` : `/${bucket}/${inBucket}`;
    const search = query === undefined ? "" : canonicalQuery(query);
    const payloadHash = hashOf(request);
    return {
      url: `${base.protocol}//${host}${path}${search === "" ? "" : `?${search}`}`,
      headers: sign({ method, host, path, query: search, headers, payloadHash }, now()),
    };
  }

  async function send(request: S3Request, clock: Deadline): Promise<Response> {
    try {
      clock.signal.throwIfAborted();
      const { url, headers } = signed(request);
      const response = await fetch(url, {
        method: request.method,
        ...bodyOf(request, headers, clock),
        proxy: false,
        redirect: "manual",
        decompress: false,
        signal: clock.signal,
      });
      clock.touch();
      if (response.ok) return response;
      throw refusal(request, response.status, await readAnswer(response, clock.touch));
    } catch (error) {
      throw failureOf(error, request, clock);
    }
  }

  async function exchange(request: S3Request, signal: AbortSignal): Promise<S3Answer> {
    const clock = deadline(request, signal);
    try {
      const response = await send(request, clock);
      return { headers: response.headers, text: await readAnswer(response, clock.touch) };
    } catch (error) {
      throw failureOf(error, request, clock);
    } finally {
      clock.end();
    }
  }

  function failureOf(error: unknown, request: S3Request, clock: Deadline): unknown {
    if (clock.signal.aborted) return clock.signal.reason;
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

  return { deadline, send, exchange, retrying };
}

/** Bytes at hand are signed too: 6 µs for 10 KiB make the server refuse what was damaged on the way. */
function hashOf({ body, sha256 }: S3Request): string {
  if (body === undefined) return EMPTY_PAYLOAD_HASH;
  if (!(body instanceof Uint8Array) || body.byteLength > WHOLE_BYTES_MAX) return UNSIGNED_PAYLOAD;
  return sha256 ?? sha256Hex(body);
}

function bodyOf({ body }: S3Request, headers: Record<string, string>, clock: Deadline): RequestInit {
  if (body === undefined) return { headers };
  if (body instanceof Uint8Array && body.byteLength <= WHOLE_BYTES_MAX) return { headers, body };
  const { bytes, stream } = body instanceof Uint8Array ? inPieces(body, clock) : body;
  headers["content-length"] = String(bytes);
  // A kept connection may have gone stale, and a stream cannot be sent a second time.
  return { headers, body: stream, keepalive: false };
}

function inPieces(body: Uint8Array, clock: Deadline): StreamedBody {
  const handover = createHandover(clock.touch);
  handover.give(body).catch(() => undefined);
  handover.end();
  return { bytes: body.byteLength, stream: handover.stream };
}
