import type { DeadLetterReads } from "../../jobs/stores/dead-letter-reads.ts";
import { GROUPINGS } from "../../jobs/stores/dead-letter-reads.ts";
import { isoTime } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { choice } from "../http/parameters.ts";
import { ANALYSIS_EXAMPLE } from "../openapi/schema-examples.ts";
import { ANALYSIS_GROUPS_MAX, type Analysis } from "../openapi/schemas.ts";
import { DEAD_LETTER_FILTER, filterOf } from "./dead-letter-endpoints.ts";
import { type Endpoint, withQuery } from "./endpoint.ts";

/** `GET /operators/dlq/analysis` */
export function analysisEndpoint(deadLetters: DeadLetterReads): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/dlq/analysis",
    access: "read",
    doc: {
      tag: "Dead letters",
      summary: "Count dead letters in groups",
      description:
        "Groups the dead letters that match the filter, and counts each group. The largest group comes first. Days " +
        "are days in UTC and are sorted by date, the latest first. " +
        `The answer has at most ${ANALYSIS_GROUPS_MAX} groups.`,
      answers: { 200: { description: "The groups.", schema: "Analysis", example: ANALYSIS_EXAMPLE } },
    },
    query: { by: choice(GROUPINGS, "Property to group by. Default: `code`."), ...DEAD_LETTER_FILTER },
    answer: async (_call, { by = "code", ...filter }) => {
      const wanted = filterOf(filter);
      // Together, so that a group is rarely newer than the sum.
      const [total, groups] = await Promise.all([
        deadLetters.count(wanted),
        deadLetters.groups(by, wanted, ANALYSIS_GROUPS_MAX + 1),
      ]);
      const body: Analysis = {
        by,
        total,
        groups: groups.slice(0, ANALYSIS_GROUPS_MAX).map(({ key, letters, firstAt, lastAt, sample }) => ({
          key,
          count: letters,
          share: total === 0 ? 0 : Math.round((letters / total) * 10_000) / 10_000,
          first_seen: isoTime(firstAt),
          last_seen: isoTime(lastAt),
          sample_task_id: sample,
        })),
        groups_truncated: groups.length > ANALYSIS_GROUPS_MAX,
      };
      return json(body);
    },
  });
}
