import { signal } from "@preact/signals";
import { timeLimit } from "./browser-time.ts";
import { noteInstance } from "./instance.ts";
import { noteAnswer } from "./service-time.ts";

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

/** A service that hangs is as bad as one that refuses the connection. */
const READ_LIMIT_MS = 15_000;
const CHANGE_LIMIT_MS = 60_000;
const UNKNOWN_RESULT = "The change may have happened: look at the result before you try again.";

interface Sending extends RequestInit {
  readonly limitMs: number;
  /** Follows the error if the result of the request is unknown. */
  readonly advice?: string;
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return send<T>(path, { method: "GET", limitMs: READ_LIMIT_MS, ...(signal !== undefined && { signal }) });
}

type RequestHeaders = Readonly<Record<string, string>>;

/** Sends a change. @throws RequestError */
export function post<T>(path: string, body?: unknown, headers: RequestHeaders = {}): Promise<T> {
  return postJson(path, body === undefined ? undefined : JSON.stringify(body), headers);
}

/** Sends a change whose body is JSON text already. @throws RequestError */
export function postJson<T>(path: string, text: string | undefined, headers: RequestHeaders = {}): Promise<T> {
  const sending = posting(text, headers);
  return send<T>(path, isSession(path) ? sending : { ...sending, advice: UNKNOWN_RESULT });
}

/** Asks what a change would do. @throws RequestError */
export function dryRun<T>(path: string, body: object): Promise<T> {
  return send<T>(path, posting(JSON.stringify({ ...body, dry_run: true })));
}

function posting(text: string | undefined, headers: RequestHeaders = {}): Sending {
  const sending = { method: "POST", limitMs: CHANGE_LIMIT_MS };
  if (text === undefined) return { ...sending, headers };
  return { ...sending, headers: { "content-type": "application/json", ...headers }, body: text };
}

export function remove(path: string): Promise<void> {
  return send<void>(path, { method: "DELETE", limitMs: CHANGE_LIMIT_MS });
}

/** Saves an answer of another media type as a file. It may be large, so it has no time limit. @throws RequestError */
export async function save(path: string, accept: string, fileName: string): Promise<void> {
  const blob = await answered(undefined, async () => {
    const response = await ask(path, { headers: { accept } });
    if (!response.ok) throw errorOf(response, await response.text());
    return response.blob();
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function send<T>(path: string, sending: Sending): Promise<T> {
  const { response, text } = await answered(sending, async (signal) => {
    const response = await ask(path, { ...sending, ...(signal !== undefined && { signal }) });
    return { response, text: await response.text() };
  });
  noteInstance(response.headers);
  if (response.ok || isHealth(path, text)) return (text === "" ? undefined : JSON.parse(text)) as T;
  const error = errorOf(response, text);
  if (error.status === 401 && !isSession(path)) isSignedOut.value = true;
  throw error;
}

function isSession(path: string): boolean {
  return path.startsWith("operators/session");
}

/** The report of an unhealthy service has the status 503, and is an answer all the same. */
function isHealth(path: string, text: string): boolean {
  return path === "operators/health" && text.includes('"components"');
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(`${SERVICE_PATH}${path}`, { credentials: "same-origin", ...init });
  isAnswering.value = response.headers.has("x-request-id");
  if (isAnswering.value) noteAnswer(response.headers);
  return response;
}

/** Turns the failure to get a whole answer into an error for people. The limit holds for the body, too. */
async function answered<T>(sending: Sending | undefined, read: (signal?: AbortSignal) => Promise<T>): Promise<T> {
  const limit = sending === undefined ? undefined : timeLimit(sending.limitMs);
  const own = sending?.signal ?? undefined;
  try {
    return await read(limit === undefined || own === undefined ? limit : AbortSignal.any([limit, own]));
  } catch (error) {
    if (own?.aborted === true || error instanceof RequestError) throw error;
    isAnswering.value = false;
    const isLate = limit?.aborted === true;
    const seconds = (sending?.limitMs ?? 0) / 1000;
    const message = isLate ? `The service did not answer within ${seconds} seconds.` : "The service does not answer.";
    throw new RequestError({
      status: 0,
      code: isLate ? "TIMEOUT" : "UNREACHABLE",
      message: sending?.advice === undefined ? message : `${message} ${sending.advice}`,
      requestId: "",
    });
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
