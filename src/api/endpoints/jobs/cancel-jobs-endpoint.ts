import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { VIOLATIONS_MAX, type Violation } from "../../../intake/intake-error.ts";
import type { LedgerReads } from "../../../jobs/stores/ledger-reads.ts";
import { CANCELLABLE, type CancelFilter, cancelJobs } from "../../../operations/bulk-cancellation.ts";
import type { CancelOutcome } from "../../../operations/cancellation.ts";
import { json } from "../../http/json-response.ts";
import { choice, nameParameter, readParameters, time } from "../../http/parameters.ts";
import { invalidBody, readRequestJson } from "../../http/request-json.ts";
import { CANCEL_REQUEST_EXAMPLE } from "../../openapi/overview-examples.ts";
import type { Endpoint } from "../endpoint.ts";

const IDS_MAX = 1000;
const JOB_ID = /^[0-9a-f-]{36}$/i;

const CANCEL_FILTER = {
  status: choice(CANCELLABLE, "Only jobs with this status. Default: both."),
  job_type: nameParameter("Only jobs of this type.", "default"),
  tenant: nameParameter("Only jobs of this tenant.", "default"),
  since: time("Only jobs that were accepted at this time or later."),
  until: time("Only jobs that were accepted before this time."),
};

export const CancelRequestSchema = Type.Object(
  {
    job_ids: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        maxItems: IDS_MAX,
        description: `Jobs by their ids, 1 to ${IDS_MAX}. Either this or \`filter\`.`,
      }),
    ),
    filter: Type.Optional(
      Type.Object(
        Object.fromEntries(
          Object.entries(CANCEL_FILTER).map(([name, { description }]) => [
            name,
            Type.Optional(Type.String({ description })),
          ]),
        ),
        {
          additionalProperties: false,
          description: "Jobs by filter; `{}` matches all that have not ended. Either this or `job_ids`.",
        },
      ),
    ),
    dry_run: Type.Optional(
      Type.Boolean({ default: false, description: "True: only count the matches; change nothing." }),
    ),
  },
  {
    additionalProperties: false,
    description: "Selects the jobs to cancel. Exactly one of `job_ids` and `filter`.",
  },
);

export const CancelledSchema = Type.Object(
  {
    matched: Type.Integer({ minimum: 0, description: "Number of selected jobs that had not ended." }),
    cancelled: Type.Integer({
      minimum: 0,
      description: "Number of those that were not being cancelled already; 0 for a dry run.",
    }),
  },
  { additionalProperties: false, description: "The result of a cancellation of many jobs." },
);

const CANCEL = TypeCompiler.Compile(CancelRequestSchema);

interface CancelJobsEndpointDeps {
  readonly ledger: LedgerReads;
  readonly cancel: (jobId: string) => Promise<CancelOutcome>;
}

/** `POST /operators/jobs/cancel` */
export function cancelJobsEndpoint(deps: CancelJobsEndpointDeps): Endpoint {
  return {
    method: "POST",
    path: "/operators/jobs/cancel",
    access: "operator",
    doc: {
      tag: "Jobs",
      summary: "Cancel many jobs",
      description:
        "Cancels each job as `POST /operators/jobs/{job_id}/cancel` does. Jobs that have ended, and ids of unknown " +
        "jobs, are left out. Jobs that are accepted meanwhile stay out, too. An interrupted request can be repeated.",
      body: { schema: "CancelRequest", example: CANCEL_REQUEST_EXAMPLE },
      answers: {
        200: {
          description: "The jobs are being cancelled; each becomes terminal as soon as its tasks have ended.",
          schema: "Cancelled",
          example: { matched: 12, cancelled: 12 },
        },
      },
      errors: ["INVALID_PAYLOAD", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "DISK_FULL"],
    },
    answer: async ({ request, recordActivity }) => {
      const body = await readRequestJson(request, CANCEL);
      const { signal } = request;
      const result = await cancelJobs(selectionOf(body), { dryRun: body.dry_run ?? false, signal }, deps);
      if (result.cancelled > 0) {
        recordActivity({ action: "cancel", target: selectionText(body), count: result.cancelled });
      }
      return json(result);
    },
  };
}

/** The selection in the list of activities. */
function selectionText({ job_ids: ids = [], filter = {} }: Static<typeof CancelRequestSchema>): string {
  const [first] = ids;
  if (first !== undefined) return ids.length === 1 ? first : `${first} and ${ids.length - 1} more`;
  const parts = Object.entries(filter).map(([name, value]) => `${name}=${String(value)}`);
  return parts.length === 0 ? "all jobs" : parts.join(" ");
}

function selectionOf({ job_ids: ids, filter }: Static<typeof CancelRequestSchema>): readonly string[] | CancelFilter {
  const violations: Violation[] = [];
  if ((ids === undefined) === (filter === undefined)) {
    violations.push({ path: "", message: "must have either job_ids or filter" });
  }
  for (const [at, id] of (ids ?? []).entries()) {
    if (!JOB_ID.test(id)) violations.push({ path: `/job_ids/${at}`, message: "must be a job id: a UUID" });
  }
  if (violations.length > 0) throw invalidBody(violations.slice(0, VIOLATIONS_MAX));
  if (ids !== undefined) return ids.map((id) => id.toLowerCase());
  const values = Object.entries(filter ?? {}).map(([name, value]): [string, string] => [name, String(value)]);
  const read = readParameters(CANCEL_FILTER, new URLSearchParams(values), "/filter");
  const { status, job_type: jobType, tenant, since, until } = read;
  return { status, jobType, tenant, since, until };
}
