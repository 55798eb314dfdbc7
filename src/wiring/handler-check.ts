import type { Config } from "../config/schema.ts";
import { planJob, tasksOf } from "../intake/job-plan.ts";
import { loadHandler } from "../intake/plugins.ts";
import type { Clock } from "../jobs/clock.ts";
import { createEgressPolicy } from "../jobs/egress-policy.ts";
import { newJobId } from "../jobs/job.ts";
import type { Task } from "../jobs/task.ts";
import { handlerSettings, manifestLimits } from "./handlers.ts";
import { lookAtObjectStore } from "./object-store.ts";

export interface HandlerCheck {
  /** The path of a handler's file, absolute, or "default". */
  readonly file: string;
  /** Its settings are those of `[handlers.JOB_TYPE]`, where there are any. */
  readonly jobType: string;
  readonly manifest: Uint8Array;
}

/**
 * The tasks that a handler makes of a manifest, as a submission would get them; nothing is stored, queued or fetched.
 * @throws HandlerLoadError; IntakeError when the tasks are asked for
 */
export async function checkHandler(
  { file, jobType, manifest }: HandlerCheck,
  config: Config,
  clock: Clock,
): Promise<AsyncIterable<Task>> {
  const settings = config.handlers[jobType];
  const handler = await loadHandler(jobType, file, settings?.options ?? {});
  const store = lookAtObjectStore(config.storage, "", clock);
  const policy = createEgressPolicy({ allowPrivate: config.egress.allow_private });
  const deps = {
    limits: manifestLimits(config, policy, store),
    bucket: config.storage.bucket,
    store,
    newJobId: () => newJobId(config.server.instance),
    clock,
  };
  const registered = {
    handler,
    settings: settings === undefined ? { defaultHeaders: {}, options: {} } : handlerSettings(settings),
  };
  const submission = { jobType, tenant: "default", traceId: "0".repeat(32), body: manifest };
  const plan = await planJob(submission, registered, deps);
  return tasksOf(plan, handler, deps);
}
