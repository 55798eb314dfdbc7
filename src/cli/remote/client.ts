import { certificateCheckProblem } from "../../config/certificate-check.ts";
import { ConfigError } from "../../config/config-error.ts";
import { UsageError, WorkFailedError } from "../exit-code.ts";
import { printable } from "../terminal-text.ts";

export interface RemoteOptions {
  /** URL of the service. */
  readonly server: string;
  readonly token: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The service said no, for now: it says when to come again. */
export class BusyError extends WorkFailedError {
  override readonly name = "BusyError";
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Nobody answers: the service may be starting anew. */
export class UnreachableError extends WorkFailedError {
  override readonly name = "UnreachableError";
}

/** What the service says is wrong with what it was asked. */
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

/** What was asked for is not there. */
export class NotThereError extends WorkFailedError {
  override readonly name = "NotThereError";
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly request_id: string;
  readonly details: readonly { readonly path: string; readonly message: string }[];
}

const USAGE_STATUSES = [400, 413, 415, 422];

/** Talks to a running service. What goes wrong is thrown as an error of the command line, with the service's words. */
export class RemoteClient {
  /** URL of the service, without a slash at its end. */
  readonly server: string;
  readonly #token: string | undefined;

  /** @throws UsageError if `server` is no URL of a service; ConfigError where no certificate would be checked */
  constructor({ server, token, env }: RemoteOptions) {
    const unchecked = certificateCheckProblem(env);
    if (unchecked !== undefined) throw new ConfigError([unchecked]);
    if (token !== undefined && !/^[!-~]+$/.test(token)) {
      throw new UsageError("FETCHBOX_TOKEN must be visible ASCII characters, without spaces and line breaks");
    }
    const url = URL.parse(server);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new UsageError(`--server ${withoutUserinfo(server)} is no URL like http://127.0.0.1:8080`);
    }
    if (url.username !== "" || url.password !== "") {
      throw new UsageError("--server must be a URL without user and password; the token is FETCHBOX_TOKEN");
    }
    this.server = url.href.replace(/\/+$/, "");
    this.#token = token;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return this.read(await this.request("GET", path + queryText(query)));
  }

  /** The same, where an answer with this status is no error but has a document, too. */
  async getEvenIf<T>(status: number, path: string): Promise<T> {
    const response = await this.#send("GET", path);
    if (!response.ok && response.status !== status) throw await this.#failure(response);
    return this.read(response);
  }

  async post<T>(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<T> {
    return this.read(await this.request("POST", path, body, headers));
  }

  /** The JSON of an answer. @throws WorkFailedError if it is none of a FetchBox */
  async read<T>(response: Response): Promise<T> {
    try {
      return (await response.json()) as T;
    } catch (error) {
      throw this.stranger(error);
    }
  }

  /** Who answers is no FetchBox. */
  stranger(cause?: unknown): WorkFailedError {
    return new WorkFailedError(`${this.server} answers, but is no FetchBox`, { cause });
  }

  async delete(path: string): Promise<void> {
    await this.request("DELETE", path);
  }

  /** An answer that is 2xx. `body` is JSON, or bytes as they are. @throws UsageError, BusyError, WorkFailedError */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const response = await this.#send(method, path, body, headers);
    if (response.ok) return response;
    throw await this.#failure(response);
  }

  async #failure(response: Response): Promise<Error> {
    return this.#redirection(response) ?? (await errorOf(response));
  }

  #send(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    return this.#fetch(path, {
      method,
      headers: {
        ...headers,
        ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
    });
  }

  /** A redirect leads to another service than the one that was named, and perhaps to plain http: none is followed. */
  #redirection({ status, headers }: Response): WorkFailedError | undefined {
    const to = URL.parse(headers.get("location") ?? "", this.server);
    if (status < 300 || status > 399 || to === null) return undefined;
    const hint = "commands follow no redirect; name the service itself with --server or FETCHBOX_SERVER";
    return new WorkFailedError(`${this.server} redirects to ${to.protocol}//${to.host}: ${hint}`);
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(this.server + path, { ...init, redirect: "manual", proxy: false } as RequestInit);
    } catch (error) {
      const { code } = error as { code?: unknown };
      const reason = typeof code === "string" ? code : String(error);
      throw new UnreachableError(
        `no FetchBox answers at ${this.server} (${reason}); start one, or name it with --server or FETCHBOX_SERVER`,
        { cause: error },
      );
    }
  }
}

/** The query of what is defined. */
function queryText(query: Query): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? "" : `?${given.toString()}`;
}

async function errorOf(response: Response): Promise<Error> {
  const text = await response.text();
  const body = parse(text);
  if (body === undefined) {
    return new WorkFailedError(`the server answered ${response.status}: ${printable(text.slice(0, 200))}`);
  }
  const hint = response.status === 401 ? "; set FETCHBOX_TOKEN" : "";
  const summary = `${body.code}: ${body.message}${hint} (request ${body.request_id})`;
  const message = summary + detailsText(body.details);
  if (response.status === 404) return new NotThereError(message);
  const retryAfter = Number(response.headers.get("retry-after"));
  if (retryAfter > 0) return new BusyError(message, retryAfter * 1000);
  const isUsage = USAGE_STATUSES.includes(response.status) || body.code === "UNSUPPORTED_JOB_TYPE";
  return isUsage ? new RefusedError(summary, body.details) : new WorkFailedError(message);
}

function detailsText(details: ErrorBody["details"]): string {
  return details.map(({ path, message }) => `\n  ${path === "" ? "" : `${path}: `}${message}`).join("");
}

/** The body of an error, or `undefined` for any other text. Its words are made printable: who answers may be anybody. */
function parse(text: string): ErrorBody | undefined {
  try {
    const body = JSON.parse(text) as Partial<ErrorBody> | null;
    if (typeof body?.code !== "string" || !Array.isArray(body.details)) return undefined;
    return {
      code: printable(body.code),
      message: printable(String(body.message)),
      request_id: printable(String(body.request_id)),
      details: body.details.map((each) => ({
        path: printable(String(each?.path)),
        message: printable(String(each?.message)),
      })),
    };
  } catch {
    return undefined;
  }
}

function withoutUserinfo(text: string): string {
  return text.replace(/^([^/]*\/\/)?[^/]*@/, "$1***@");
}
