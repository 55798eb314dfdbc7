import { json } from "../http/json-response.ts";
import { QUEUE_EXAMPLE } from "../openapi/schema-examples.ts";
import type { QueueReport } from "../openapi/service-schemas.ts";
import type { Endpoint } from "./endpoint.ts";

export interface QueueEndpointsDeps {
  readonly queueReport: () => Promise<QueueReport>;
  /**
   * Stops starting downloads, or starts them again; running ones finish. The pause survives a restart, with the name
   * `by` of the token that began it. False if the queue already was in this state.
   */
  readonly setPaused: (paused: boolean, by: string | null) => Promise<boolean>;
}

export function queueEndpoints(deps: QueueEndpointsDeps): Endpoint[] {
  return [
    readQueue(deps),
    switchQueue(deps, true, "Pause the queue", "Stops starting downloads; running ones finish. It survives a restart."),
    switchQueue(deps, false, "Resume the queue", "Starts downloads again. A queue that is not paused is unchanged."),
  ];
}

function readQueue({ queueReport }: QueueEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/queue",
    access: "read",
    doc: {
      tag: "Queue",
      summary: "Read the state of the queue",
      description: "Shows the number of tasks, the busiest hosts, the throughput, and the limit that holds tasks back.",
      answers: { 200: { description: "The current state of the queue.", schema: "Queue", example: QUEUE_EXAMPLE } },
    },
    answer: async () => json(await queueReport()),
  };
}

function switchQueue(
  { queueReport, setPaused }: QueueEndpointsDeps,
  paused: boolean,
  summary: string,
  description: string,
): Endpoint {
  return {
    method: "POST",
    path: `/operators/queue/${paused ? "pause" : "resume"}`,
    access: "operator",
    doc: {
      tag: "Queue",
      summary,
      description,
      answers: {
        200: {
          description: "The current state of the queue.",
          schema: "Queue",
          example: { ...QUEUE_EXAMPLE, paused },
        },
      },
      errors: ["DISK_FULL"],
    },
    answer: async ({ caller, recordActivity }) => {
      const isChange = await setPaused(paused, caller?.name ?? null);
      if (isChange) recordActivity({ action: paused ? "pause" : "resume", target: null, count: null });
      return json(await queueReport());
    },
  };
}
