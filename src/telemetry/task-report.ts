import type { FailureCode } from "../jobs/failure.ts";
import type { ClaimedTask } from "../jobs/task.ts";
import type { Settlement } from "../jobs/verdict.ts";
import type { Clock } from "../std/clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { urlForLog } from "./url-for-log.ts";

/** A function that logs and counts the result of each attempt. No other place does. */
export function createTaskReport(log: Log, metrics: Metrics, clock: Clock): (settlement: Settlement) => void {
  return ({ claimed, verdict, workerId }) => {
    const { task, job } = claimed;
    const line = {
      job_id: job.jobId,
      resource_id: task.resourceId,
      task_id: claimed.id,
      trace_id: job.traceId,
      ...(workerId !== undefined && { worker_id: workerId }),
    };
    switch (verdict.kind) {
      case "complete": {
        const { bytes, startedAt, httpStatus } = verdict.result;
        const durationMs = Math.max(0, clock.now() - startedAt); // the wall clock may have changed
        metrics.taskCompleted(job.jobType);
        metrics.downloaded(bytes, durationMs / 1000);
        log.info(
          { ...line, url: urlForLog(task.url), http_status: httpStatus, bytes, duration_ms: durationMs },
          "resource stored",
        );
        break;
      }
      case "retry":
      case "snooze":
        metrics.taskRetried(verdict.attempt.code as FailureCode);
        log.warn(
          { ...line, ...attemptFields(claimed, verdict), wait_ms: Math.max(0, verdict.availableAt - clock.steady()) },
          "attempt failed",
        );
        break;
      case "discard":
        metrics.taskFailed(job.jobType, verdict.code);
        log.error(
          { ...line, ...attemptFields(claimed, verdict), attempts: verdict.attempts },
          "resource failed; it is a dead letter now",
        );
        break;
      case "cancel":
        log.info(line, "task cancelled");
        break;
      case "release":
        log.info(line, "task returned to the queue");
        break;
    }
  };
}

function attemptFields({ task }: ClaimedTask, { attempt }: { attempt: Settlement["claimed"]["history"][number] }) {
  return { url: urlForLog(task.url), code: attempt.code, error: attempt.message, duration_ms: attempt.durationMs };
}
