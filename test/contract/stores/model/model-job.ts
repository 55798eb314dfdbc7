import { type JobHeader, type JobStatus, statusOf } from "../../../../src/jobs/job.ts";
import type { LogLevel } from "../../../../src/jobs/stores/ledger-reads.ts";
import type { AttemptRecord, ClaimedTask, Task } from "../../../../src/jobs/task.ts";

export interface ModelTask {
  readonly id: number;
  readonly job: ModelJob;
  task: Task;
  host: string;
  /** `running` from the claim on, whether a worker has started it or not. */
  state: "waiting" | "running" | "completed" | "failed" | "cancelled";
  /** By the steady clock. */
  availableAt: number;
  claimedAt: number;
  claimId: number;
  isStarted: boolean;
  attempts: number;
  crashes: number;
  crashTimes: number[];
  waitingSince: ClaimedTask["waitingSince"];
  mayHaveStored: boolean;
  history: readonly AttemptRecord[];
  hasDeadLetter: boolean;
  result: ModelResult | undefined;
}

export interface ModelResult {
  readonly attempts: number;
  readonly httpStatus: number | null;
  readonly bytes: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly finishedAt: number;
  readonly history: readonly AttemptRecord[];
}

export interface ModelJob {
  readonly header: JobHeader;
  readonly tasks: ModelTask[];
  readonly logs: (readonly [LogLevel, string, string | null])[];
  isStaged: boolean;
  isCancelling: boolean;
  hasStarted: boolean;
  isInQueue: boolean;
  updatedAt: number;
  completedAt: number | null;
}

export function jobStatus(job: ModelJob): JobStatus {
  const count = (state: ModelTask["state"]) => job.tasks.filter((task) => task.state === state).length;
  const status = statusOf({
    total: job.tasks.length,
    completed: count("completed"),
    failed: count("failed"),
    cancelled: count("cancelled"),
  });
  return status === "in_progress" && !job.hasStarted ? "queued" : status;
}
