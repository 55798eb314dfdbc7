import type { Submit } from "../intake/submission.ts";
import type { FillRandom } from "../telemetry/trace-context.ts";
import type { Endpoint } from "./endpoint.ts";
import { ACCEPTED_EXAMPLE, MANIFEST_EXAMPLE } from "./examples.ts";
import { json } from "./json-response.ts";
import { readRequestBody, refuseOtherMediaTypes } from "./request-body.ts";
import { readSubmissionHeaders, SUBMISSION_HEADERS } from "./submission-headers.ts";

export interface SubmitEndpointDeps {
  readonly submit: Submit;
  /** Holds for the decompressed body. */
  readonly bodyBytesMax: number;
  readonly fillRandom: FillRandom;
}

/** `POST /jobs`. Reads the body itself, so that none that is too large is ever held. */
export function submitEndpoint({ submit, bodyBytesMax, fillRandom }: SubmitEndpointDeps): Endpoint {
  return {
    method: "POST",
    path: "/jobs",
    access: "submit",
    doc: {
      tag: "Jobs",
      summary: "Submit a job",
      description:
        "Once this is answered with 202, the job and its tasks are durable. The body may be compressed by gzip.",
      headers: SUBMISSION_HEADERS,
      body: { schema: "Manifest", example: MANIFEST_EXAMPLE },
      answers: {
        202: {
          description: "The manifest is stored, the tasks are queued.",
          schema: "Accepted",
          example: ACCEPTED_EXAMPLE,
          headers: {
            Location: "Where the job is read.",
            "Idempotent-Replayed": "`true` if this is the answer to an earlier submission under the same key.",
          },
        },
      },
      errors: [
        "INVALID_PAYLOAD",
        "UNSUPPORTED_JOB_TYPE",
        "IDEMPOTENCY_IN_PROGRESS",
        "IDEMPOTENCY_KEY_REUSED",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
        "QUEUE_FULL",
        "RATE_LIMITED",
        "HANDLER_ERROR",
        "STORAGE_UNAVAILABLE",
        "SHUTTING_DOWN",
        "DISK_FULL",
      ],
    },
    answer: async ({ request, note }) => {
      refuseOtherMediaTypes(request);
      const headers = readSubmissionHeaders(request.headers, fillRandom);
      note({ trace_id: headers.traceId });
      const body = await readRequestBody(request, bodyBytesMax);
      const answer = await submit({ ...headers, body });
      note({ job_id: answer.body.job_id });
      return json(answer.body, {
        status: 202,
        headers: {
          location: `/operators/jobs/${answer.body.job_id}`,
          ...(answer.replayed && { "idempotent-replayed": "true" }),
        },
      });
    },
  };
}
