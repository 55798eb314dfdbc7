import type { components, operations } from "./openapi.ts";

type Schemas = components["schemas"];

/** The body of `POST /jobs`. */
export type Manifest = Schemas["Manifest"];
/** The answer to an accepted manifest. */
export type Accepted = Schemas["Accepted"];
/** The state of a job. */
export type Job = Schemas["Job"];
/** A resource of a job with its result. */
export type Resource = Schemas["ResourceList"]["resources"][number];
/** A row of a job's log. */
export type LogRow = Schemas["LogPage"]["logs"][number];
/** A task that failed permanently. */
export type DeadLetter = Schemas["DeadLetterList"]["entries"][number];
/** The health of the service. */
export type Health = Schemas["Health"];
/** The selection of dead letters to replay, with the changes for the next attempt. */
export type ReplayRequest = Schemas["ReplayRequest"];
/** The counts of a replay, with the operation if it continues in the background. */
export type Replayed = Schemas["Replayed"];
/** The selection of dead letters to discard. */
export type DiscardRequest = Schemas["GiveUpRequest"];
/** The counts of a discard, with the operation if it continues in the background. */
export type Discarded = Schemas["GivenUp"];

type QueryOf<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;

/** Filters of lists. The client follows the cursors itself; `limit` is the size of its pages. */
export type JobFilter = Omit<QueryOf<"get_operators_jobs">, "cursor">;
export type ResourceFilter = Omit<QueryOf<"get_operators_jobs_by_job_id_resources">, "cursor">;
export type DeadLetterFilter = Omit<QueryOf<"get_operators_dlq">, "cursor">;
/** The first row (`offset`) and the least level of a followed log. */
export type LogFilter = Omit<QueryOf<"get_operators_jobs_by_job_id_logs">, "limit">;

const TERMINAL: readonly Job["status"][] = ["completed", "partial", "failed", "cancelled"];

/** True if the job has ended. */
export function isFinished({ status }: Job): boolean {
  return TERMINAL.includes(status);
}

/** True for the body of a health report, which comes with 503 too. */
export function isHealth(body: unknown): body is Health {
  return typeof body === "object" && body !== null && "components" in body && "uptime_seconds" in body;
}
