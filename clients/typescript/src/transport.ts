import createClient, { type Client } from "openapi-fetch";
import { errorOfAnswer, FetchBoxError } from "./errors.ts";
import type { paths } from "./openapi.ts";
import { type Repeatable, type RetryPolicy, repeated } from "./retry.ts";

export interface TransportOptions extends Partial<RetryPolicy> {
  /** The URL of the service, for example `http://127.0.0.1:8080`. */
  readonly server: string;
  /** A token of `server.auth.tokens`. */
  readonly token?: string | undefined;
  /** The longest time of one request; default 60 s. A submission may take ten times as long. */
  readonly requestTimeoutMs?: number;
  /** The longest silence of a followed log; default 45 s. The service sends a comment every 15 s. */
  readonly silenceTimeoutMs?: number;
  /** In place of the global `fetch`, for proxies and own certificates. */
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** What openapi-fetch returns, for any endpoint. */
interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

export interface CallOptions {
  readonly repeatable?: Repeatable;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const REQUEST_TIMEOUT_MS = 60_000;
const SILENCE_TIMEOUT_MS = 45_000;

/** Sends requests, with the token, the time limit and the repeats. */
export class Transport {
  /** The typed client of all endpoints; it does not repeat requests. */
  readonly api: Client<paths>;
  readonly policy: RetryPolicy;
  readonly requestTimeoutMs: number;
  readonly silenceTimeoutMs: number;
  readonly #server: string;
  readonly #masked: (text: string) => string;

  /** @throws FetchBoxError if the URL or the token is invalid */
  constructor(options: TransportOptions) {
    this.#server = checkedServer(options.server);
    const token = options.token === undefined ? undefined : checkedHeader("token", options.token);
    this.#masked = (text) => (token === undefined ? text : text.replaceAll(token, "***"));
    this.policy = {
      retries: options.retries ?? 6,
      retryDelayMs: options.retryDelayMs ?? 250,
      busyTimeoutMs: options.busyTimeoutMs ?? 600_000,
    };
    this.requestTimeoutMs = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
    this.silenceTimeoutMs = options.silenceTimeoutMs ?? SILENCE_TIMEOUT_MS;
    this.api = createClient<paths>({
      baseUrl: this.#server,
      // A redirect would send the token to a server that the caller did not name.
      redirect: "manual",
      ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
      ...(options.fetch !== undefined && { fetch: options.fetch }),
    });
  }

  /** The body of a successful answer. @throws FetchBoxError, or the reason of the signal */
  async call<T>(send: (signal: AbortSignal) => Promise<Answer<T>>, options: CallOptions = {}): Promise<T> {
    const answer = await this.answer(send, options);
    return answer.data as T;
  }

  /** A successful answer. @throws as `call` */
  answer<T>(send: (signal: AbortSignal) => Promise<Answer<T>>, options: CallOptions = {}): Promise<Answer<T>> {
    const { repeatable = "always", timeoutMs = this.requestTimeoutMs, signal } = options;
    const attempt = () => this.within(timeoutMs, signal, send);
    const successful = async () => {
      const answer = await attempt();
      if (!answer.response.ok) throw errorOfAnswer(answer.response, answer.error, this.#masked);
      return answer;
    };
    return repeated(successful, this.policy, repeatable, signal);
  }

  /** The result of one attempt that ends with a time limit or a signal. @throws FetchBoxError, the signal's reason */
  async within<T>(ms: number, signal: AbortSignal | undefined, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(), ms);
    try {
      return await send(signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof FetchBoxError) throw error;
      // The error itself is no cause of the new one: it may contain bytes of the server.
      if (limit.signal.aborted) {
        throw new FetchBoxError("TIMEOUT", `${this.#server} did not answer within ${ms / 1000} s`);
      }
      if (error instanceof SyntaxError) {
        throw new FetchBoxError("UNEXPECTED_ANSWER", `${this.#server} answered, but not with JSON`);
      }
      const reason = this.#masked(reasonOf(error));
      throw new FetchBoxError("NETWORK_ERROR", `cannot reach ${this.#server}: ${reason}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The message of the innermost cause: `fetch` of Node hides the reason there. */
function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (!(inner instanceof Error)) return String(inner);
  const { code } = inner as { code?: unknown };
  return inner.message !== "" || typeof code !== "string" ? inner.message : code;
}

function checkedServer(server: string): string {
  const isUrl = /^https?:\/\//i.test(server) && URL.canParse(server);
  const url = isUrl ? new URL(server) : undefined;
  if (url === undefined || url.username !== "" || url.password !== "") {
    const rule = "server must be a URL like http://127.0.0.1:8080, without user and password";
    throw new FetchBoxError("INVALID_ARGUMENT", rule);
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}

/** A value for a header. The error does not repeat the value: it may be a secret, which `fetch` would show. */
export function checkedHeader(name: string, value: string): string {
  if (/^[!-~]+$/.test(value)) return value;
  const rule = "must be visible ASCII characters, without spaces and line breaks";
  throw new FetchBoxError("INVALID_ARGUMENT", `${name} ${rule}`);
}
