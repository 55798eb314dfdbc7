import type { LedgerReads } from "../../../jobs/stores/ledger-reads.ts";
import { json } from "../../http/json-response.ts";
import { nameParameter } from "../../http/parameters.ts";
import { JOB_COUNTS_EXAMPLE } from "../../openapi/overview-examples.ts";
import type { JobCountsAnswer } from "../../openapi/overview-schemas.ts";
import { type Endpoint, withQuery } from "../endpoint.ts";

/** Jobs of each status that a count by type or tenant examines at most. */
const COUNT_MAX = 10_000;

/** `GET /operators/jobs/counts` */
export function jobCountsEndpoint(ledger: LedgerReads): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/jobs/counts",
    access: "read",
    doc: {
      tag: "Jobs",
      summary: "Count jobs by status",
      description:
        "Without a filter the counts are exact. With one, the service examines at most the newest " +
        `${COUNT_MAX} jobs of each status.`,
      answers: { 200: { description: "The counts.", schema: "JobCounts", example: JOB_COUNTS_EXAMPLE } },
    },
    query: {
      job_type: nameParameter("Only jobs of this type.", "default"),
      tenant: nameParameter("Only jobs of this tenant.", "default"),
    },
    answer: async (_call, { job_type: jobType, tenant }) => {
      await ledger.bringUpToDate();
      const { counts, isCapped } = await ledger.countJobs({ jobType, tenant }, COUNT_MAX);
      const body: JobCountsAnswer = { counts, capped_at: isCapped ? COUNT_MAX : null };
      return json(body);
    },
  });
}
