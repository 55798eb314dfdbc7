import { readBody } from "../intake/body.ts";
import type { Submit } from "../intake/submission.ts";
import type { FillRandom } from "../telemetry/trace-context.ts";
import type { Endpoint } from "./endpoint.ts";
import { ApiError } from "./errors.ts";
import { ACCEPTED_EXAMPLE, MANIFEST_EXAMPLE } from "./examples.ts";
import { json } from "./json-response.ts";
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
      refuseOtherMediaTypes(request.headers.get("content-type"));
      const headers = readSubmissionHeaders(request.headers, fillRandom);
      note({ trace_id: headers.traceId });
      const body = await bodyOf(request, bodyBytesMax);
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

function refuseOtherMediaTypes(contentType: string | null): void {
  const mediaType = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (mediaType === "application/json") return;
  throw new ApiError("UNSUPPORTED_MEDIA_TYPE", { message: "Content-Type must be application/json" });
}

async function bodyOf(request: Request, limitBytes: number): Promise<Uint8Array> {
  const contentEncoding = request.headers.get("content-encoding");
  const isPlain = contentEncoding === null || contentEncoding.toLowerCase() === "identity";
  const declared = request.headers.get("content-length");
  // What says beforehand that it is too large need not be sent. Compressed, a body is hardly larger than plain.
  if (Number(declared ?? 0) > (isPlain ? limitBytes : 2 * limitBytes + 1024)) {
    await drain(request);
    throw new ApiError("PAYLOAD_TOO_LARGE", {
      message: `the body is larger than ${limitBytes} bytes`,
      headers: { connection: "close" },
    });
  }
  try {
    // The server takes no more than was declared. Reading in one go costs a third of reading the stream.
    if (isPlain && declared !== null) return await request.bytes();
    return await readBody(request.body, { contentEncoding, limitBytes, signal: request.signal });
  } catch (error) {
    if (!request.signal.aborted) throw error;
    // The client is gone: nobody reads this answer, but it is no fault of ours.
    throw new ApiError("INVALID_PAYLOAD", { message: "the body ended early", cause: error });
  }
}

/** What of a refused body is read and dropped, so that a client that sends before it listens gets its answer. */
const DRAIN_BYTES_MAX = 32 * 1024 * 1024;
const DRAIN_MS_MAX = 1000;

/** Lets a body that nobody wants run out, within bounds. Never throws. */
async function drain(request: Request): Promise<void> {
  const reader = request.body?.getReader();
  if (reader === undefined) return;
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), DRAIN_MS_MAX);
  try {
    for (let bytes = 0; bytes < DRAIN_BYTES_MAX; ) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.byteLength;
    }
  } catch {
    // The client has gone.
  } finally {
    clearTimeout(timer);
  }
}
