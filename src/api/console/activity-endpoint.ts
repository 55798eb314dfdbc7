import { type Static, Type } from "@sinclair/typebox";
import { type Endpoint, withQuery } from "../endpoints/endpoint.ts";
import { cursorParameter, formatCursor, pageOf } from "../http/cursor.ts";
import { isoTime } from "../http/iso-time.ts";
import { json } from "../http/json-response.ts";
import { integer } from "../http/parameters.ts";
import { closed, nextCursor, oneOf, orNull, time } from "../openapi/schema-parts.ts";
import { ACTIVITIES, type ActivityLog } from "./activity-log.ts";

export const ActivityListSchema = closed(
  {
    entries: Type.Array(
      closed(
        {
          at: time("Time of the change."),
          token: orNull(Type.String(), "Name of the operator's token; null for a token without a name."),
          action: oneOf(ACTIVITIES, "Kind of the change."),
          target: orNull(
            Type.String(),
            "The changed object, for people: a job, a filter of dead letters, an operation or a host; " +
              "null for the queue.",
          ),
          count: orNull(
            Type.Integer(),
            "Number of changed objects; of matching dead letters for a filter; null if the change has no number.",
          ),
          request_id: Type.String({ description: "Id of the request, as in the service's log." }),
        },
        "A change that an operator made.",
      ),
      { description: "The changes, the newest first." },
    ),
    next_cursor: nextCursor,
  },
  "A page of the operators' activity.",
);

const EXAMPLE: Static<typeof ActivityListSchema> = {
  entries: [
    {
      at: "2026-11-23T12:00:00.000Z",
      token: "alice",
      action: "replay",
      target: "code=DOWNLOAD_HTTP_403 host=img.example.com",
      count: 830,
      request_id: "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f01",
    },
  ],
  next_cursor: null,
};

/** `GET /operators/activity` */
export function activityEndpoint(activity: Pick<ActivityLog, "list">): Endpoint {
  return withQuery({
    method: "GET",
    path: "/operators/activity",
    access: "read",
    doc: {
      tag: "Service",
      summary: "List the changes that operators made",
      description: "Lists the latest 1000 changes since the start of the service, the newest first. The log has all.",
      answers: { 200: { description: "A page of changes.", schema: "ActivityList", example: EXAMPLE } },
    },
    query: {
      limit: integer({ minimum: 1, maximum: 1000, fallback: 100 }, "Maximum number of changes on the page."),
      cursor: cursorParameter("activity"),
    },
    answer: (_call, { limit, cursor }) => {
      const rows = activity.list(cursor ?? Number.MAX_SAFE_INTEGER, limit + 1);
      const { page, next_cursor } = pageOf(rows, limit, ({ id }) => formatCursor("activity", id));
      const entries = page.map(({ at, token = null, action, target, count, requestId }) => ({
        at: isoTime(at),
        token,
        action,
        target,
        count,
        request_id: requestId,
      }));
      return json({ entries, next_cursor });
    },
  });
}
