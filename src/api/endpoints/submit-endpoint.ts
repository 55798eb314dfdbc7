import type { BodyMemory, HeldBytes } from "../../intake/body-memory.ts";
import type { Submit } from "../../intake/submission.ts";
import { parseTraceparent } from "../../net/trace-context.ts";
import type { Span, Tracer } from "../../net/tracer.ts";
import { toApiError } from "../http/errors.ts";
import { json } from "../http/json-response.ts";
import { readRequestBody, refuseOtherMediaTypes } from "../http/request-body.ts";
import { ACCEPTED_EXAMPLE, MANIFEST_EXAMPLE } from "../openapi/schema-examples.ts";
import type { Call, Endpoint } from "./endpoint.ts";
import { readSubmissionHeaders, SUBMISSION_HEADERS } from "./submission-headers.ts";

interface SubmitEndpointDeps {
  readonly submit: Submit;
  /** Limit for the decompressed body. */
  readonly bodyBytesMax: number;
  /** Memory for all bodies that are being read or expanded. */
  readonly memory: BodyMemory;
  readonly tracer: Pick<Tracer, "start">;
}

/** `POST /jobs`. It reads the body itself, so that it never holds more than the limit. */
export function submitEndpoint({ submit, bodyBytesMax, memory, tracer }: SubmitEndpointDeps): Endpoint {
  return {
    method: "POST",
    path: "/jobs",
    access: "submit",
    doc: {
      tag: "Jobs",
      summary: "Submit a job",
      description:
        "Accepts a manifest as a new job. After a 202 the job and its tasks are on disk and survive a crash. After " +
        "409, 429 or 5xx repeat the request with the same idempotency key: that never makes a second job. The " +
        "decompressed body has at most " +
        `${bodyBytesMax} bytes (\`api.max_payload_bytes\`). An invalid manifest is rejected as a whole; \`details\` ` +
        "lists the violations.",
      headers: SUBMISSION_HEADERS,
      body: { schema: "Manifest", example: MANIFEST_EXAMPLE },
      answers: {
        202: {
          description: "The job was accepted: its manifest is stored, and its tasks are queued.",
          schema: "Accepted",
          example: ACCEPTED_EXAMPLE,
          headers: {
            Location: "Path of the job.",
            "Idempotent-Replayed": "`true` if this is the answer to an earlier submission with the same key.",
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
    answer: async (call) => {
      const { headers } = call.request;
      const span = tracer.start("POST /jobs", "server", parseTraceparent(headers.get("traceparent") ?? undefined));
      call.note({ trace_id: span.context.traceId });
      const held = memory.hold();
      try {
        return await accept(call, span, { submit, bodyBytesMax, held });
      } catch (error) {
        span.end(() => {
          const { code, status } = toApiError(error);
          return { attributes: { ...SPAN, "http.response.status_code": status }, failure: code };
        });
        throw error;
      } finally {
        held.release();
      }
    },
  };
}

const SPAN = { "http.request.method": "POST", "http.route": "/jobs" };

interface Accepting extends Pick<SubmitEndpointDeps, "submit" | "bodyBytesMax"> {
  readonly held: HeldBytes;
}

async function accept(
  { request, note }: Call,
  span: Span,
  { submit, bodyBytesMax, held }: Accepting,
): Promise<Response> {
  refuseOtherMediaTypes(request);
  const headers = readSubmissionHeaders(request.headers);
  const body = await readRequestBody(request, bodyBytesMax, held);
  const answer = await submit({ ...headers, trace: span.context, body });
  const { job_id, resource_count } = answer.body;
  note({ job_id });
  span.end(() => ({
    attributes: {
      ...SPAN,
      "http.response.status_code": 202,
      "fetchbox.job_id": job_id,
      "fetchbox.job_type": headers.jobType,
      "fetchbox.resource_count": resource_count,
    },
  }));
  return json(answer.body, {
    status: 202,
    headers: {
      location: `/operators/jobs/${job_id}`,
      ...(answer.replayed && { "idempotent-replayed": "true" }),
    },
  });
}
