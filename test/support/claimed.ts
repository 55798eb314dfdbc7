import type { ClaimedTask, Task } from "../../src/jobs/task.ts";
import { hostOf } from "../../src/jobs/task.ts";

/** A task in a worker's hands, all its fields filled in. */
export function claimedTask(task: Partial<Task> = {}, more: Partial<ClaimedTask> = {}): ClaimedTask {
  const url = task.url ?? "http://origin.test/file";
  return {
    id: 1,
    claimId: 1,
    lane: 1,
    job: {
      seq: 1,
      jobId: "0198f4d2-0000-7000-8000-000000000000",
      jobType: "default",
      tenant: "default",
      priority: "normal",
      traceId: "",
      spanId: "",
      sampled: false,
      manifestUrl: "",
      createdAt: 0,
    },
    task: { resourceId: "r", bucket: "artifacts", key: "r", ...task, url },
    host: hostOf(url),
    attempts: 0,
    crashes: 0,
    mayHaveStored: false,
    history: [],
    waitingSince: undefined,
    ...more,
  };
}
