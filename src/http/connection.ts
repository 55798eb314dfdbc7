import type { Clock } from "../std/clock.ts";
import { HttpError } from "./http-error.ts";
import type { Framing } from "./message/framing.ts";
import type { ResponseLimits } from "./message/head-reader.ts";
import type { HeaderFields } from "./message/header-fields.ts";
import { type BodyConnection, IncomingBody } from "./message/incoming-body.ts";
import type { BodySource, RequestBody } from "./message/outgoing-body.ts";
import type { ResponseHead } from "./message/response-head.ts";
import { ResponseParser, type ResponseSink } from "./message/response-parser.ts";
import type { Transport, TransportHandler } from "./transport/transport.ts";

/** A request in the form that a connection sends. */
export interface OutgoingRequest {
  readonly method: string;
  /** Request line and fields up to the body, as Latin-1 text. */
  readonly head: string;
  readonly body: RequestBody;
  /** Longest time from the request's first byte to the end of the answer's head; `undefined`: no limit. */
  readonly headTimeoutMs?: number | undefined;
  /** Longest time without a byte in either direction, until the answer is complete; `undefined`: no limit. */
  readonly idleTimeoutMs?: number | undefined;
  readonly signal: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: HeaderFields;
  /** How the head announces the end of the body. */
  readonly framing: Framing;
  readonly body: IncomingBody;
  /** The peer's IP address: the host's, or the proxy's. */
  readonly address: string;
  /**
   * Whether the head came while the request was being sent. A request that fits into the buffers of the kernel counts
   * as sent, though the peer may not have read it.
   */
  readonly isEarly: boolean;
}

interface ConnectionOptions {
  readonly clock: Pick<Clock, "after" | "monotonic">;
  readonly limits: ResponseLimits;
  /** Called when the answer is complete and the connection takes the next request, and when the connection is over. */
  readonly onFree: (connection: HttpConnection) => void;
}

/** A body up to this size goes out in one piece with its head. */
const ONE_PIECE_BYTES_MAX = 64 * 1024;
/** A larger body goes out in pieces of this size, so that the idle limit sees progress. */
const PIECE_BYTES = 256 * 1024;

/**
 * One connection that speaks HTTP/1.1 (RFC 9112): a request, its answer, then perhaps the next request.
 *
 *     idle ──exchange──▶ head ──▶ body ──complete──▶ idle
 *     any ──end, error, abort, abandon──▶ over
 *
 * The request has a state of its own beside that of its answer:
 *
 *     sent ──exchange──▶ sending ──the transport has all bytes──▶ sent
 *
 * An answer may be complete while its request is `sending`. Then the connection is over, because the rest of the
 * request would stand before the next one (RFC 9112, section 9.5).
 */
export class HttpConnection implements TransportHandler, ResponseSink, BodyConnection {
  readonly #transport: Transport;
  readonly #options: ConnectionOptions;
  readonly #parser: ResponseParser;
  #state: "idle" | "head" | "body" | "over" = "idle";
  #signal: AbortSignal | undefined;
  #answer: PromiseWithResolvers<HttpResponse> | undefined;
  #body: IncomingBody | undefined;
  #timer: { cancel(): void } | undefined;
  /** Time of the last byte in either direction, by the monotonic clock; kept only if there is an idle limit. */
  #progressAt = 0;
  #idleTimeoutMs: number | undefined;
  #request: "sending" | "sent" = "sent";
  #keepAlive: string | undefined;
  #drained: (() => void) | undefined;
  readonly #onAbort = () => this.#fail(this.#signal?.reason, true);

  constructor(transport: Transport, options: ConnectionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#parser = new ResponseParser(options.limits, this);
    transport.handler = this;
  }

  get address(): string {
    return this.#transport.address;
  }

  /** True if the next request may be sent. */
  get isIdle(): boolean {
    return this.#state === "idle";
  }

  /** The Keep-Alive field of the last answer (RFC 2068, section 19.7.1.1). */
  get keepAlive(): string | undefined {
    return this.#keepAlive;
  }

  /** True if at least one byte of the last answer arrived. */
  get hasAnswered(): boolean {
    return this.#parser.hasBegun;
  }

  /**
   * Sends a request and resolves with the head of its answer. Rejects with an `HttpError`: `timeout` (phase `head`),
   * `reset` or `closed` before the head, `tls`, `protocol`, `head-too-large`. Rejects also with an error of the body's
   * source, or at once with the signal's reason. Then the connection is over.
   */
  exchange(request: OutgoingRequest): Promise<HttpResponse> {
    const { signal, headTimeoutMs, idleTimeoutMs } = request;
    if (signal.aborted) {
      this.destroy();
      return Promise.reject(signal.reason);
    }
    this.#parser.begin(request.method);
    this.#state = "head";
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort);
    const answer = Promise.withResolvers<HttpResponse>();
    this.#answer = answer;
    this.#idleTimeoutMs = headTimeoutMs === undefined ? idleTimeoutMs : undefined;
    if (headTimeoutMs !== undefined) this.#limitHead(headTimeoutMs);
    else if (idleTimeoutMs !== undefined) this.#watchProgress(idleTimeoutMs);
    this.#transport.setKeepsAlive(true);
    this.#send(request);
    return answer.promise;
  }

  /** Closes the connection without a call of `onFree`. */
  destroy(): void {
    this.#leaveExchange("over");
    this.#transport.destroy();
  }

  pause(): void {
    this.#transport.pause();
  }

  resume(): void {
    if (this.#state === "body") this.#transport.resume();
  }

  abandon(): void {
    this.destroy();
    this.#options.onFree(this);
  }

  data(chunk: Uint8Array): void {
    this.#noteProgress();
    try {
      this.#parser.feed(chunk);
    } catch (error) {
      this.#fail(error);
      return;
    }
    // After a byte without a request, no later answer could be attributed to its request (RFC 9112, section 9.2).
    if (this.#state === "idle" && !this.#parser.isClean) this.abandon();
  }

  drained(): void {
    this.#noteProgress();
    const resolve = this.#drained;
    this.#drained = undefined;
    resolve?.();
  }

  closed(error: Error | undefined): void {
    if (error !== undefined) return this.#fail(brokenBy(error, this.#state));
    const closing = this.#parser.end();
    if (closing === "until-close") {
      this.#body?.finish("closed");
      this.#over();
    } else if (closing === "truncated") {
      this.#fail(new HttpError("truncated", "the connection was closed before the body was complete"));
    } else {
      this.#fail(new HttpError("closed", "the connection was closed before there was an answer"));
    }
  }

  head(head: ResponseHead, framing: Framing): void {
    if (this.#idleTimeoutMs === undefined) this.#endTimer();
    this.#state = "body";
    const body = new IncomingBody(this);
    this.#body = body;
    const { status, headers } = head;
    this.#keepAlive = headers.get("keep-alive");
    const isEarly = this.#request === "sending";
    this.#answer?.resolve({ status, headers, framing, body, address: this.address, isEarly });
    this.#answer = undefined;
  }

  body(chunk: Uint8Array): void {
    this.#body?.push(chunk);
  }

  complete(): void {
    this.#body?.finish("complete");
    if (this.#request === "sending" || !this.#parser.isClean) return this.#over();
    this.#leaveExchange("idle");
    this.#transport.resume();
    this.#transport.setKeepsAlive(false);
    this.#options.onFree(this);
  }

  #send({ head, body }: OutgoingRequest): void {
    if (body === undefined || (body instanceof Uint8Array && body.length <= ONE_PIECE_BYTES_MAX)) {
      this.#sendWhole(inOnePiece(head, body));
    } else {
      this.#request = "sending";
      const source = body instanceof Uint8Array ? sourceOf(body) : body;
      this.#sendAll(Buffer.from(head, "latin1"), source).catch((error: unknown) => {
        // An answer that has started is kept: the peer answered without the rest of the request.
        if (this.#state === "head") this.#fail(error, true);
      });
    }
  }

  #sendWhole(bytes: Uint8Array): void {
    if (this.#transport.write(bytes)) return;
    this.#request = "sending";
    this.#drained = () => {
      this.#request = "sent";
    };
  }

  /** Sends the head and the source's bytes in pieces, so that the idle limit sees progress. */
  async #sendAll(head: Uint8Array, source: BodySource): Promise<void> {
    for (let bytes: Uint8Array | undefined = head; bytes !== undefined; bytes = await source.next()) {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        if (this.#isOver()) return;
        if (this.#transport.write(bytes.subarray(at, at + PIECE_BYTES))) this.#noteProgress();
        else await this.#drain();
      }
      if (this.#isOver()) return;
    }
    this.#request = "sent";
  }

  #isOver(): boolean {
    return this.#state === "over";
  }

  #noteProgress(): void {
    if (this.#idleTimeoutMs !== undefined) this.#progressAt = this.#options.clock.monotonic();
  }

  #drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  #limitHead(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => {
      this.#fail(new HttpError("timeout", `no answer within ${ms} ms`, { phase: "head" }));
    });
  }

  /** Starts the idle limit: one timer for the whole exchange, which checks when it fires and starts again. */
  #watchProgress(ms: number): void {
    const { clock } = this.#options;
    this.#progressAt = clock.monotonic();
    const check = (): void => {
      const leftMs = this.#progressAt + ms - clock.monotonic();
      if (leftMs > 0) this.#timer = clock.after(leftMs, check);
      else {
        const phase = this.#state === "head" ? ({ phase: "head" } as const) : {};
        this.#fail(new HttpError("timeout", `no progress for ${ms} ms`, phase));
      }
    };
    this.#timer = clock.after(ms, check);
  }

  #endTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Ends the exchange with an error, and the connection with it. */
  #fail(error: unknown, isAborted = false): void {
    const [answer, body] = [this.#answer, this.#body];
    this.#over();
    answer?.reject(error);
    body?.fail(error, isAborted);
  }

  #over(): void {
    if (this.#state === "over") return;
    this.destroy();
    this.#options.onFree(this);
  }

  /** Releases everything that belongs to the exchange, and enters the next state. */
  #leaveExchange(next: "idle" | "over"): void {
    this.#endTimer();
    this.#idleTimeoutMs = undefined;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = undefined;
    this.#answer = undefined;
    this.#body = undefined;
    // Before `drained`, which may continue a request that is being sent.
    this.#state = next;
    this.drained();
  }
}

/** For one request after the other: a new array for each would cost 7 µs of an item of 10 KiB. */
const outgoing = Buffer.allocUnsafe(ONE_PIECE_BYTES_MAX + 16 * 1024);

/** Head and body, valid until the next call. */
function inOnePiece(head: string, body: Uint8Array | undefined): Uint8Array {
  const length = head.length + (body?.length ?? 0);
  const bytes = length <= outgoing.length ? outgoing : Buffer.allocUnsafe(length);
  bytes.write(head, "latin1");
  if (body !== undefined) bytes.set(body, head.length);
  return bytes.subarray(0, length);
}

function sourceOf(bytes: Uint8Array): BodySource {
  let left: Uint8Array | undefined = bytes;
  return {
    next() {
      const piece = left;
      left = undefined;
      return Promise.resolve(piece);
    },
  };
}

/** The error of a broken connection. An `HttpError`, such as an alert of TLS, stays as it is. */
function brokenBy(error: Error, state: string): HttpError {
  if (error instanceof HttpError) return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  const words = state === "body" ? "the connection broke within the body" : "the connection broke before the answer";
  return new HttpError("reset", code === undefined ? words : `${words} (${code})`, { code, cause: error });
}
