import { ConfigError, certificateCheckProblem } from "../../config/config-error.ts";
import { retryAfterMs } from "../../net/retry-after.ts";
import { systemClock } from "../../std/clock.ts";
import { roughDuration } from "../../std/duration-text.ts";
import { MASK } from "../../std/visible-text.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { printable } from "../terminal/terminal-text.ts";

interface RemoteOptions {
  /** The URL of the service. */
  readonly server: string;
  readonly token: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly limits?: RequestLimits;
}

/** The longest time of a request, in milliseconds. */
interface RequestLimits {
  /** To the end of the answer; of a followed answer, to its headers. */
  readonly anyMs: number;
  /** The same for a submission, whose body may be large on a slow connection. */
  readonly submitMs: number;
}

const LIMITS: RequestLimits = { anyMs: 30_000, submitMs: 600_000 };

/** A complete answer. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** The service is busy; its `Retry-After` names the time for the next try. */
export class BusyError extends WorkFailedError {
  override readonly name = "BusyError";
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The service does not answer, or not in time; it may be restarting. */
export class UnreachableError extends WorkFailedError {
  override readonly name = "UnreachableError";
}

/** The service refuses the request as invalid. */
export class RefusedError extends UsageError {
  override readonly name = "RefusedError";
  /** The message without its details. */
  readonly summary: string;
  readonly details: ErrorBody["details"];

  constructor(summary: string, details: ErrorBody["details"]) {
    super(summary + detailsText(details));
    this.summary = summary;
    this.details = details;
  }
}

/** The service does not have the requested thing. */
export class NotThereError extends WorkFailedError {
  override readonly name = "NotThereError";
}

/** The content of a request. */
interface Sent {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly request_id: string;
  readonly details: readonly { readonly path: string; readonly message: string }[];
}

const USAGE_STATUSES = [400, 413, 415, 422];
const BUSY_STATUSES = [429, 503];

/** The client of a running service. Its errors are those of the command line, with the service's message. */
export class RemoteClient {
  /** The URL of the service, without a trailing slash. */
  readonly server: string;
  readonly #token: string | undefined;
  readonly #limits: RequestLimits;

  /** @throws UsageError if `server` is no URL of a service; ConfigError if the environment turns off TLS checks */
  constructor({ server, token, env, limits = LIMITS }: RemoteOptions) {
    const unchecked = certificateCheckProblem(env);
    if (unchecked !== undefined) throw new ConfigError([unchecked]);
    if (token !== undefined && !/^[!-~]+$/.test(token)) {
      throw new UsageError("FETCHBOX_TOKEN must be visible ASCII characters, without spaces and line breaks");
    }
    const url = URL.parse(server);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new UsageError(`--server must be a URL like http://127.0.0.1:8080, got ${withoutUserinfo(server)}`);
    }
    if (url.username !== "" || url.password !== "") {
      throw new UsageError("--server must be a URL without user and password; set the token as FETCHBOX_TOKEN");
    }
    this.server = url.href.replace(/\/+$/, "");
    this.#token = token;
    this.#limits = limits;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#read(await this.#ask("GET", path + queryText(query)));
  }

  /** The document of an answer that is 2xx or has this status. */
  async getEvenIf<T>(status: number, path: string): Promise<T> {
    const answer = await this.#send(this.#limits.anyMs, "GET", path);
    if (answer.status !== status) this.#check(answer);
    return this.#read(answer);
  }

  async post<T>(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<T> {
    return this.#read(await this.#ask("POST", path, body, headers));
  }

  async delete(path: string): Promise<void> {
    await this.#ask("DELETE", path);
  }

  /** Submits a manifest; returns the document and headers of the answer. @throws as `get` */
  async submit<T>(body: Uint8Array, given: Readonly<Record<string, string>>): Promise<{ value: T; headers: Headers }> {
    const answer = await this.#send(this.#limits.submitMs, "POST", "/jobs", { body, headers: given });
    this.#check(answer);
    return { value: this.#read(answer), headers: answer.headers };
  }

  /** An answer whose body may take any time. @throws as `get` */
  async follow(path: string, query: Query, accept: string): Promise<Response> {
    return await this.#within(this.#limits.anyMs, async (signal) => {
      const response = await this.#fetch(path + queryText(query), { headers: { accept }, signal });
      if (!response.ok) this.#check(await wholeOf(response));
      if (response.headers.get("content-type")?.startsWith(accept) !== true) throw this.stranger();
      return response;
    });
  }

  /** The error for an answer that does not come from FetchBox. */
  stranger(cause?: unknown): WorkFailedError {
    return new WorkFailedError(`${this.server} answers, but is not FetchBox`, { cause });
  }

  /** An answer that is 2xx. `body` is sent as JSON. @throws UsageError, BusyError, UnreachableError, WorkFailedError */
  async #ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const answer = await this.#send(this.#limits.anyMs, method, path, { body: text, headers });
    this.#check(answer);
    return answer;
  }

  /** The JSON of an answer. @throws WorkFailedError if it is not JSON */
  #read<T>({ text }: Answer): T {
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw this.stranger(error);
    }
  }

  #check(answer: Answer): void {
    if (answer.status >= 200 && answer.status <= 299) return;
    throw this.#redirection(answer) ?? errorOf(answer, (text) => this.#shown(text));
  }

  #send(
    limitMs: number,
    method: string,
    path: string,
    { body, headers = {} }: { body?: Uint8Array | string | undefined; headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    return this.#within(limitMs, async (signal) =>
      wholeOf(
        await this.#fetch(path, {
          method,
          signal,
          headers: { ...headers, ...type },
          ...(body !== undefined && { body }),
        }),
      ),
    );
  }

  /** The error for a redirect. None is followed: it leads to an unnamed service, and perhaps to plain http. */
  #redirection({ status, headers }: Answer): WorkFailedError | undefined {
    const to = URL.parse(headers.get("location") ?? "", this.server);
    if (status < 300 || status > 399 || to === null) return undefined;
    const hint = "commands do not follow redirects; name the service itself with --server or FETCHBOX_SERVER";
    return new WorkFailedError(`${this.server} redirects to ${to.protocol}//${this.#shown(to.host)}: ${hint}`);
  }

  /** @throws UnreachableError if the service does not answer within the limit */
  async #within<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const timer = systemClock.after(limitMs, () => limit.abort());
    try {
      return await work(limit.signal);
    } catch (error) {
      if (limit.signal.aborted) {
        const hint = "check the service, or name another one with --server or FETCHBOX_SERVER";
        throw new UnreachableError(`${this.server} did not answer within ${roughDuration(limitMs)}; ${hint}`, {
          cause: error,
        });
      }
      if (error instanceof WorkFailedError || error instanceof UsageError) throw error;
      const { code } = error as { code?: unknown };
      const reason = typeof code === "string" ? code : this.#shown(String(error));
      const hint = "start it with fetchbox serve, or name another one with --server or FETCHBOX_SERVER";
      throw new UnreachableError(`no FetchBox answers at ${this.server} (${reason}); ${hint}`, { cause: error });
    } finally {
      timer.cancel();
    }
  }

  /** A server's text for a terminal, with *** in place of the token: a wrong server may repeat it. */
  #shown(text: string): string {
    return printable(this.#token === undefined ? text : text.replaceAll(this.#token, MASK));
  }

  #fetch(path: string, { headers, ...init }: Sent): Promise<Response> {
    const all = { ...headers, ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }) };
    return fetch(this.server + path, { ...init, headers: all, redirect: "manual", proxy: false } as RequestInit);
  }
}

async function wholeOf(response: Response): Promise<Answer> {
  const { status, headers } = response;
  return { status, headers, text: await response.text() };
}

/** The query of the defined parameters. */
function queryText(query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? "" : `?${given.toString()}`;
}

/** The error for an answer; `shown` makes a text of the server fit for a terminal. */
function errorOf({ status, headers, text }: Answer, shown: (text: string) => string): Error {
  const body = parse(text, shown);
  const waitMs = retryAfterMs(headers.get("retry-after"), systemClock.now()) ?? 0;
  if (body === undefined) {
    const message = `the server answered ${status}: ${shown(text).slice(0, 200)}`;
    // A proxy in front of the service may have answered.
    return waitMs > 0 && BUSY_STATUSES.includes(status) ? new BusyError(message, waitMs) : new WorkFailedError(message);
  }
  const hint = status === 401 ? "; set FETCHBOX_TOKEN" : "";
  const summary = `${body.code}: ${body.message}${hint} (request ${body.request_id})`;
  const message = summary + detailsText(body.details);
  if (status === 404) return new NotThereError(message);
  if (waitMs > 0) return new BusyError(message, waitMs);
  const isUsage = USAGE_STATUSES.includes(status) || body.code === "UNSUPPORTED_JOB_TYPE";
  return isUsage ? new RefusedError(summary, body.details) : new WorkFailedError(message);
}

function detailsText(details: ErrorBody["details"]): string {
  return details.map(({ path, message }) => `\n  ${path === "" ? "" : `${placeOf(path)}: `}${message}`).join("");
}

/** The place of a problem; a parameter of a filter or query is named as the option of the command line. */
function placeOf(path: string): string {
  const name = /^\/(?:query|filter)\/(\w+)$/.exec(path)?.[1];
  return name === undefined ? path : `--${name.replaceAll("_", "-")}`;
}

/** The body of an error as it may be shown, or `undefined` for any other text. Any server may have sent it. */
function parse(text: string, shown: (text: string) => string): ErrorBody | undefined {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody> | null;
    if (typeof body?.code !== "string" || !Array.isArray(body.details)) return undefined;
    return {
      code: shown(body.code),
      message: shown(String(body.message)),
      request_id: shown(String(body.request_id)),
      details: body.details.map((each) => ({
        path: shown(String(each?.path)),
        message: shown(String(each?.message)),
      })),
    };
  } catch {
    return undefined;
  }
}

function withoutUserinfo(text: string): string {
  return text.replace(/^([^/]*\/\/)?[^/]*@/, "$1***@");
}
