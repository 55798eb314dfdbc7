import type { Event } from "../../gen/fetchbox/v1/event.ts";
import { type LogLevel } from "../../jobs/stores/ledger-reads.ts";

/** A line of a job's log without its offset. */
interface LogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly resourceId?: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

/** The log lines of an event. The function is pure, so that a replayed event gives the same lines. */
export function logEntriesOf({ kind }: Event): LogEntry[] {
  switch (kind?.$case) {
    case "jobAccepted":
      return [{ level: "info", message: "job accepted", fields: { resources: kind.value.total } }];
    case "taskCompleted": {
      const { task, resourceId, bytes, httpStatus, attempts } = kind.value;
      const fields = { task_id: task, bytes, http_status: httpStatus, attempts };
      return [{ level: "info", message: "resource stored", resourceId, fields }];
    }
    case "taskPostponed": {
      const { task, resourceId, attempt, attempts, availableAt } = kind.value;
      const fields = {
        task_id: task,
        code: attempt?.code ?? "",
        error: attempt?.message ?? "",
        attempts,
        next_attempt_at: new Date(availableAt).toISOString(),
      };
      return [{ level: "warn", message: "attempt failed", resourceId, fields }];
    }
    case "taskFailed": {
      const { task, code, message, attempts, letter } = kind.value;
      const resourceId = letter?.task?.resourceId ?? "";
      const fields = { task_id: task, code, error: message, attempts };
      return [
        { level: "warn", message: "attempt failed", resourceId, fields },
        { level: "error", message: "resource failed for good", resourceId, fields },
      ];
    }
    case "cancelRequested":
      return [{ level: "warn", message: "job is being cancelled", fields: {} }];
    case "taskReplayed": {
      const { task, resourceId } = kind.value;
      return [{ level: "debug", message: "dead letter replayed", resourceId, fields: { task_id: task } }];
    }
    case "letterDropped": {
      const { task, resourceId, reason } = kind.value;
      return [{ level: "debug", message: "dead letter dropped", resourceId, fields: { task_id: task, reason } }];
    }
    case "jobFinished":
      return [{ level: "info", message: `job ${kind.value.status}`, fields: { status: kind.value.status } }];
    default:
      return [];
  }
}
