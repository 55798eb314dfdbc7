import type { ClaimedTask } from "../jobs/task.ts";
import type { Outcome } from "../jobs/verdict.ts";
import { formatTraceparent } from "../net/trace-context.ts";
import type { SpanAttributes, SpanEnd, Tracer } from "../net/tracer.ts";
import { urlForLog } from "./url-for-log.ts";

/** A function that starts the span of an attempt, as a child of its job's span. */
export function attemptSpans(tracer: Pick<Tracer, "start">) {
  return (claimed: ClaimedTask) => {
    const span = tracer.start("GET", "client", claimed.job);
    return {
      traceparent: formatTraceparent(span.context),
      end: (outcome: Outcome) => span.end(() => describe(claimed, outcome)),
    };
  };
}

/** @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client */
function describe({ id, job, task, host, attempts }: ClaimedTask, outcome: Outcome): SpanEnd {
  const attributes = {
    "http.request.method": "GET",
    "url.full": urlForLog(task.url),
    "server.address": host,
    "http.request.resend_count": attempts,
    "fetchbox.job_id": job.jobId,
    "fetchbox.task_id": id,
    "fetchbox.resource_id": task.resourceId,
    ...outcomeAttributes(outcome),
  };
  if (outcome.kind === "stored") return { attributes };
  return { attributes, failure: outcome.kind === "failed" ? outcome.failure.code : outcome.by };
}

function outcomeAttributes(outcome: Outcome): SpanAttributes {
  if (outcome.kind === "interrupted") return {};
  const { httpStatus, bytes } = outcome.kind === "stored" ? outcome.result : outcome.attempt;
  return {
    ...(httpStatus !== undefined && { "http.response.status_code": httpStatus }),
    "http.response.body.size": bytes,
  };
}
