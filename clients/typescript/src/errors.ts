import type { components } from "./openapi.ts";

type ErrorBody = components["schemas"]["Error"];

/** One violation of a request: its place and the rule. */
export type ErrorDetail = ErrorBody["details"][number];

/** Codes of failures that the client finds itself; every other code comes from the service. */
export type ClientErrorCode = "NETWORK_ERROR" | "TIMEOUT" | "UNEXPECTED_ANSWER" | "INVALID_ARGUMENT";

/** The properties of an error beside its code and message. */
export interface ErrorFacts {
  readonly status?: number;
  readonly requestId?: string | undefined;
  readonly details?: readonly ErrorDetail[];
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** The one error of this client. Programs check `code`; `message` is for people. */
export class FetchBoxError extends Error {
  override readonly name = "FetchBoxError";
  /** A code of the API, such as `JOB_NOT_FOUND`, or one of the client. */
  readonly code: string;
  /** The HTTP status, or 0 without an answer. */
  readonly status: number;
  /** The id that the service's log has for the request. */
  readonly requestId: string | undefined;
  /** The violations of an invalid request. */
  readonly details: readonly ErrorDetail[];
  /** The time until the service wants the next request, or `undefined`. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ClientErrorCode | (string & {}), message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? {} : { cause: facts.cause });
    this.code = code;
    this.status = facts.status ?? 0;
    this.requestId = facts.requestId;
    this.details = facts.details ?? [];
    this.retryAfterMs = facts.retryAfterMs;
  }
}

/**
 * The error for an answer that is no success. `body` is its parsed JSON, or its text. `masked` hides the token: a wrong
 * server may repeat it.
 */
export function errorOfAnswer(response: Response, body: unknown, masked: (text: string) => string): FetchBoxError {
  const { status, headers } = response;
  const retryAfterMs = retryAfter(headers.get("retry-after"));
  if (!isErrorBody(body)) {
    const requestId = masked(headers.get("x-request-id") ?? "") || undefined;
    return new FetchBoxError("UNEXPECTED_ANSWER", unexpectedText(response), { status, requestId, retryAfterMs });
  }
  const { code, message } = body;
  const requestId = isText(body.request_id) ? masked(body.request_id) : undefined;
  const details = body.details.map((detail) => ({ path: masked(detail.path), message: masked(detail.message) }));
  const places = details.map(({ path, message: text }) => `; ${path === "" ? "" : `${path}: `}${text}`).join("");
  return new FetchBoxError(masked(code), `${masked(message)}${places}`, { status, requestId, details, retryAfterMs });
}

function unexpectedText({ status, type }: Response): string {
  const isRedirect = type === "opaqueredirect" || (status >= 300 && status <= 399);
  if (isRedirect) return "the server redirects; the client follows no redirect, so name the service itself";
  return `the server answered ${status}, but not as FetchBox does; check the URL of the service`;
}

function isErrorBody(body: unknown): body is ErrorBody {
  if (typeof body !== "object" || body === null) return false;
  const { code, message, details } = body as Partial<ErrorBody>;
  const areDetails = Array.isArray(details) && details.every((each) => isText(each?.path) && isText(each?.message));
  return isText(code) && isText(message) && areDetails;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** `Retry-After` in seconds or as a date, in milliseconds; `undefined` for a missing or invalid one. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,10}\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}
