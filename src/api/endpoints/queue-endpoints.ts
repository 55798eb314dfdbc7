import { json } from "../http/json-response.ts";
import { QUEUE_EXAMPLE } from "../openapi/schema-examples.ts";
import type { QueueReport } from "../openapi/service-schemas.ts";
import type { Endpoint } from "./endpoint.ts";

export interface QueueEndpointsDeps {
  readonly queueReport: () => Promise<QueueReport>;
  /** Stops starting downloads, or starts them again; running ones finish. The pause survives a restart. */
  readonly setPaused: (paused: boolean) => Promise<void>;
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
    answer: async () => {
      await setPaused(paused);
      return json(await queueReport());
    },
  };
}
