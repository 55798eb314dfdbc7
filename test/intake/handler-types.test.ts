import { expect, test } from "bun:test";
import type * as Published from "../../config/handlers/fetchbox.d.ts";
import type { JobContext, JobHandler, JobReport } from "../../src/intake/handlers/handler.ts";
import type { Manifest } from "../../src/intake/manifest/manifest-schema.ts";
import type { TaskSpec } from "../../src/jobs/task.ts";

/** `true` where the one can stand for the other; the compiler decides. */
type Fits<From, To> = From extends To ? true : false;

test("the published types of handlers are those of the source, by tsc", () => {
  const manifestIsTaken: Fits<Manifest, Published.Manifest> = true;
  const manifestIsGivenBack: Fits<Published.Manifest, Manifest> = true;
  const context: Fits<JobContext, Published.JobContext> = true;
  const report: Fits<JobReport, Published.JobReport> = true;
  const task: Fits<Published.TaskSpec, TaskSpec> = true;
  const allOfTask: Fits<keyof TaskSpec, keyof Published.TaskSpec> = true;
  const handler: Fits<Published.JobHandler, JobHandler> = true;
  expect([manifestIsTaken, manifestIsGivenBack, context, report, task, allOfTask, handler]).not.toContain(false);
});
