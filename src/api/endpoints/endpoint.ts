import type { ErrorCode } from "../http/errors.ts";
import { type Parameters, readParameters, type Values } from "../http/parameters.ts";

/**
 * What a call does: nothing that needs a token, nothing at all (so it needs none, but one that is unknown is refused),
 * submitting, reading jobs, reading anything, or changing things.
 */
export type Access = "open" | "nothing" | "submit" | "jobs" | "read" | "operator";

/** One request on its way through an endpoint. */
export interface Call {
  readonly request: Request;
  /** What stands in the path's places. */
  readonly params: Readonly<Record<string, string>>;
  readonly requestId: string;
  /** Adds to the request's line in the log. */
  readonly note: (fields: Readonly<Record<string, string>>) => void;
}

/** What the OpenAPI document says of one answer. */
export interface AnswerDoc {
  readonly description: string;
  /** Name of a schema in schemas.ts; JSON unless `contentType` says otherwise. */
  readonly schema?: string;
  readonly contentType?: string;
  /** There is no body. */
  readonly empty?: true;
  readonly example?: unknown;
  /** Examples of what else it may be, by media type. */
  readonly streams?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface EndpointDoc {
  readonly tag: "Jobs" | "Dead letters" | "Queue" | "Service";
  readonly summary: string;
  readonly description?: string;
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Codes beside those that every endpoint of its kind can answer. */
  readonly errors?: readonly ErrorCode[];
  readonly headers?: Parameters;
  readonly body?: { readonly schema: string; readonly example: unknown };
}

/** One method on one path: everything that routing, access, the document and the tests need. */
export interface Endpoint {
  readonly method: "GET" | "POST" | "DELETE";
  /** As Elysia writes it: `/jobs/:job_id`. */
  readonly path: string;
  readonly access: Access;
  /** Absent: not part of the document. */
  readonly doc?: EndpointDoc;
  readonly query?: Parameters;
  readonly answer: (call: Call) => Response | Promise<Response>;
}

interface EndpointSpec<P extends Parameters> extends Omit<Endpoint, "query" | "answer"> {
  readonly query: P;
  readonly answer: (call: Call, query: Values<P>) => Response | Promise<Response>;
}

/** An endpoint with a query: malformed, repeated and unknown parameters are refused. */
export function withQuery<P extends Parameters>({ answer, ...rest }: EndpointSpec<P>): Endpoint {
  return { ...rest, answer: (call) => answer(call, readParameters(rest.query, queryOf(call.request.url))) };
}

/** For an endpoint without a query. @throws ApiError INVALID_PAYLOAD where there is one */
export function refuseQuery(url: string): void {
  readParameters({}, queryOf(url));
}

function queryOf(url: string): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
}
