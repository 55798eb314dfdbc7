import { signal } from "@preact/signals";

/** The path of the service, before `console/`. A router may put a prefix before it, so the script's address tells. */
export const SERVICE_PATH = new URL("../..", import.meta.url).pathname;

/** An answer of the service that is not a success, or no answer at all. */
export class RequestError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string;

  constructor(given: { status: number; code: string; message: string; requestId: string }) {
    super(given.message);
    this.status = given.status;
    this.code = given.code;
    this.requestId = given.requestId;
  }
}

/** Statuses after which the same request may succeed later. */
const TEMPORARY = [408, 425, 429];

/** Whether the service would refuse the same request again: the resource is gone, or the role is not enough. */
export function isFinal({ status }: RequestError): boolean {
  return status >= 400 && status < 500 && !TEMPORARY.includes(status);
}

/** True after an answer 401: the session has ended, or there was none. */
export const isSignedOut = signal(false);

/** False after a request without an answer, or with one that the service did not give, like that of a proxy. */
export const isAnswering = signal(true);

type Query = Readonly<Record<string, string | number | undefined>>;

/** A path of the service with its query, without the empty values. */
export function pathWith(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  return pairs.length === 0 ? path : `${path}?${new URLSearchParams(pairs)}`;
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return send<T>(path, { method: "GET", ...(signal !== undefined && { signal }) });
}

/** Sends a change. @throws RequestError */
export function post<T>(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<T> {
  if (body === undefined) return send<T>(path, { method: "POST", headers });
  return send<T>(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

export function remove(path: string): Promise<void> {
  return send<void>(path, { method: "DELETE" });
}

/** Saves an answer of another media type as a file. @throws RequestError */
export async function save(path: string, accept: string, fileName: string): Promise<void> {
  const response = await answerOf(path, { headers: { accept } });
  if (!response.ok) throw errorOf(response, await response.text());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = fileName;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function send<T>(path: string, init: RequestInit): Promise<T> {
  const response = await answerOf(path, init);
  const text = await response.text();
  if (response.ok || isHealth(path, text)) return (text === "" ? undefined : JSON.parse(text)) as T;
  const error = errorOf(response, text);
  if (error.status === 401 && !path.startsWith("operators/session")) isSignedOut.value = true;
  throw error;
}

/** The report of an unhealthy service has the status 503, and is an answer all the same. */
function isHealth(path: string, text: string): boolean {
  return path === "operators/health" && text.includes('"components"');
}

async function answerOf(path: string, init: RequestInit): Promise<Response> {
  try {
    const response = await fetch(`${SERVICE_PATH}${path}`, { credentials: "same-origin", ...init });
    isAnswering.value = response.headers.has("x-request-id");
    return response;
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    isAnswering.value = false;
    const message = "The service does not answer.";
    throw new RequestError({ status: 0, code: "UNREACHABLE", message, requestId: "" });
  }
}

function errorOf(response: Response, text: string): RequestError {
  const requestId = response.headers.get("x-request-id") ?? "";
  try {
    const {
      code,
      message,
      details = [],
    } = JSON.parse(text) as {
      code: string;
      message: string;
      details?: { path: string; message: string }[];
    };
    const more = details.map((detail) => `${detail.path}: ${detail.message}`).join("; ");
    return new RequestError({
      status: response.status,
      code,
      message: more === "" ? message : `${message} (${more})`,
      requestId,
    });
  } catch {
    // A proxy in between answers in its own way.
    const message = `The answer has the status ${response.status}.`;
    return new RequestError({ status: response.status, code: `HTTP_${response.status}`, message, requestId });
  }
}
