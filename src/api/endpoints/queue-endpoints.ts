import { json } from "../http/json-response.ts";
import { QUEUE_EXAMPLE } from "../openapi/schema-examples.ts";
import type { QueueReport } from "../openapi/schemas.ts";
import type { Endpoint } from "./endpoint.ts";

export interface QueueEndpointsDeps {
  readonly queueReport: () => QueueReport;
  /** Lets no more downloads begin, or lets them again; what runs goes on. Outlives the process. */
  readonly setPaused: (paused: boolean) => Promise<void>;
}

export function queueEndpoints(deps: QueueEndpointsDeps): Endpoint[] {
  return [
    readQueue(deps),
    switchQueue(deps, true, "Let no more downloads begin", "What runs goes on; the pause outlives a restart."),
    switchQueue(deps, false, "Let downloads begin again", "Nothing happens where the queue is not paused."),
  ];
}

function readQueue({ queueReport }: QueueEndpointsDeps): Endpoint {
  return {
    method: "GET",
    path: "/operators/queue",
    access: "read",
    doc: {
      tag: "Queue",
      summary: "Read how much waits, and for what",
      answers: { 200: { description: "The queue as it is now.", schema: "Queue", example: QUEUE_EXAMPLE } },
    },
    answer: () => json(queueReport()),
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
          description: "The queue as it is now.",
          schema: "Queue",
          example: { ...QUEUE_EXAMPLE, paused },
        },
      },
      errors: ["DISK_FULL"],
    },
    answer: async () => {
      await setPaused(paused);
      return json(queueReport());
    },
  };
}
