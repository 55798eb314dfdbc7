import type { Activity } from "../console/activity-log.ts";
import type { ErrorCode } from "../http/errors.ts";
import { type Parameters, readParameters, type Values } from "../http/parameters.ts";
import type { Caller } from "../sign-in/caller.ts";

/**
 * The right that a call needs:
 *
 * | access | right |
 * |---|---|
 * | `open` | none |
 * | `nothing` | none, but an unknown token is refused: for paths without an endpoint |
 * | `session` | none, but an unknown token is refused: for signing in and out |
 * | `submit` | to submit jobs |
 * | `jobs` | to read jobs |
 * | `read` | to read everything |
 * | `operator` | to change things |
 */
export type Access = "open" | "nothing" | "session" | "submit" | "jobs" | "read" | "operator";

/** One request on its way through an endpoint. */
export interface Call {
  readonly request: Request;
  /** The values of the path's parameters. */
  readonly params: Readonly<Record<string, string>>;
  readonly requestId: string;
  /** The caller, if a token or a session identifies it. */
  readonly caller: Caller | undefined;
  /**
   * For an answer that outlasts its request, before each part: a stream must not outlive the right to read it.
   * @throws ApiError UNAUTHORIZED once the caller's session or token is no longer valid
   */
  readonly requireRights: () => void;
  /** IP address of the client. */
  readonly address: string;
  /** Adds to the request's line in the log. */
  readonly note: (fields: Readonly<Record<string, string>>) => void;
  /** Adds a change that the request made to the operators' activity. The default of `by` is the caller. */
  readonly recordActivity: (activity: Activity, by?: Pick<Caller, "name">) => void;
}

/** The documentation of one answer. */
export interface AnswerDoc {
  readonly description: string;
  /** Name of a schema in schemas.ts. */
  readonly schema?: string;
  /** Default: `application/json`. */
  readonly contentType?: string;
  /** True if the answer has no body. */
  readonly empty?: true;
  readonly example?: unknown;
  /** Examples of further representations, by media type. */
  readonly streams?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface EndpointDoc {
  readonly tag: "Jobs" | "Dead letters" | "Queue" | "Service";
  readonly summary: string;
  readonly description?: string;
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Error codes beside those of every endpoint of its kind. */
  readonly errors?: readonly ErrorCode[];
  readonly headers?: Parameters;
  readonly body?: { readonly schema: string; readonly example: unknown };
}

/** One method on one path: the single source for routing, access, the OpenAPI document and the tests. */
export interface Endpoint {
  readonly method: "GET" | "POST" | "DELETE";
  /** In Elysia's syntax: `/jobs/:job_id`. */
  readonly path: string;
  readonly access: Access;
  /** Absent: the endpoint is not part of the OpenAPI document. */
  readonly doc?: EndpointDoc;
  readonly query?: Parameters;
  readonly answer: (call: Call) => Response | Promise<Response>;
}

interface EndpointSpec<P extends Parameters> extends Omit<Endpoint, "query" | "answer"> {
  readonly query: P;
  readonly answer: (call: Call, query: Values<P>) => Response | Promise<Response>;
}

/** An endpoint with a query. It refuses malformed, repeated and unknown parameters. */
export function withQuery<P extends Parameters>({ answer, ...rest }: EndpointSpec<P>): Endpoint {
  return { ...rest, answer: (call) => answer(call, readParameters(rest.query, queryOf(call.request.url))) };
}

/** For an endpoint without parameters. @throws ApiError INVALID_PAYLOAD if the URL has a query */
export function refuseQuery(url: string): void {
  readParameters({}, queryOf(url));
}

function queryOf(url: string): URLSearchParams {
  const start = url.indexOf("?");
  return new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
}
