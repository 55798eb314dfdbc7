import { UsageError, WorkFailedError } from "../exit-code.ts";

export interface RemoteOptions {
  /** URL of the service. */
  readonly server: string;
  readonly token: string | undefined;
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
  readonly details: ErrorBody["details"];

  constructor(message: string, details: ErrorBody["details"]) {
    super(message);
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
  readonly #server: string;
  readonly #token: string | undefined;

  /** @throws UsageError if `server` is no URL of a service */
  constructor({ server, token }: RemoteOptions) {
    if (token !== undefined && !/^[!-~]+$/.test(token)) {
      throw new UsageError("FETCHBOX_TOKEN must be visible ASCII characters, without spaces and line breaks");
    }
    const url = URL.parse(server);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw new UsageError(`--server ${server} is no URL like http://127.0.0.1:8080`);
    }
    this.#server = url.href.replace(/\/+$/, "");
    this.#token = token;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return this.read(await this.request("GET", path + queryText(query)));
  }

  /** The same, where an answer with this status is no error but has a document, too. */
  async getEvenIf<T>(status: number, path: string): Promise<T> {
    const response = await this.#send("GET", path);
    if (!response.ok && response.status !== status) throw await errorOf(response);
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
    return new WorkFailedError(`${this.#server} answers, but is no FetchBox`, { cause });
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
    throw await errorOf(response);
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

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(this.#server + path, { ...init, proxy: false } as RequestInit);
    } catch (error) {
      const { code } = error as { code?: unknown };
      const reason = typeof code === "string" ? code : String(error);
      throw new UnreachableError(
        `no FetchBox answers at ${this.#server} (${reason}); start one, or name it with --server or FETCHBOX_SERVER`,
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
  if (body === undefined) return new WorkFailedError(`the server answered ${response.status}: ${text.slice(0, 200)}`);
  const details = body.details.map(({ path, message }) => `\n  ${path === "" ? "" : `${path}: `}${message}`).join("");
  const hint = response.status === 401 ? "; set FETCHBOX_TOKEN" : "";
  const message = `${body.code}: ${body.message}${hint} (request ${body.request_id})${details}`;
  if (response.status === 404) return new NotThereError(message);
  const retryAfter = Number(response.headers.get("retry-after"));
  if (retryAfter > 0) return new BusyError(message, retryAfter * 1000);
  const isUsage = USAGE_STATUSES.includes(response.status) || body.code === "UNSUPPORTED_JOB_TYPE";
  return isUsage ? new RefusedError(message, body.details) : new WorkFailedError(message);
}

function parse(text: string): ErrorBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null && "code" in body ? (body as ErrorBody) : undefined;
  } catch {
    return undefined;
  }
}
