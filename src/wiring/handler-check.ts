import type { Config, HandlerConfig } from "../config/schema.ts";
import type { FileHandlerDeps } from "../intake/handlers/file-handler.ts";
import { planJob, tasksOf } from "../intake/job-plan.ts";
import { newJobId } from "../jobs/job.ts";
import type { Task } from "../jobs/task.ts";
import { createEgressPolicy } from "../net/egress-policy.ts";
import type { CredentialSource } from "../storage/s3/credentials/credential-source.ts";
import { handlerSettings, loadHandler, manifestLimits } from "./load-handlers.ts";
import { lookAtObjectStore } from "./storage/open-object-store.ts";

/** A check has no trace. */
const UNTRACED = { traceId: "0".repeat(32), spanId: "0".repeat(16), sampled: false };

/** A check only uses the names of the storage and sends no request. */
const UNASKED: CredentialSource = {
  current: () => Promise.reject(new Error("a check of a handler sends no request to S3")),
  refused() {},
};

interface HandlerCheck {
  readonly jobType: string;
  /** The table `[handlers.JOB_TYPE]`, perhaps with another file. */
  readonly settings: HandlerConfig;
  /** Whether the configuration names the file itself. */
  readonly isConfigured: boolean;
  readonly manifest: Uint8Array;
}

/**
 * The tasks that a handler makes of a manifest, as in a submission. It does not store, queue or fetch them.
 * @throws HandlerLoadError; IntakeError
 */
export async function* checkHandler(
  { jobType, settings, isConfigured, manifest }: HandlerCheck,
  config: Config,
  deps: Pick<FileHandlerDeps, "onMessage" | "clock">,
): AsyncGenerator<Task[], void> {
  const handler = await loadHandler(isConfigured ? jobType : undefined, settings, deps);
  try {
    const store = lookAtObjectStore(config, "", { clock: deps.clock, credentials: UNASKED });
    const policy = createEgressPolicy({ allowPrivate: config.egress.allow_private });
    const planDeps = {
      limits: manifestLimits(config, policy, store),
      bucket: config.storage.bucket,
      store,
      newJobId: () => newJobId(config.server.instance),
      clock: deps.clock,
    };
    const submission = { jobType, tenant: "default", trace: UNTRACED, body: manifest };
    yield* tasksOf(planJob(submission, handlerSettings(settings), planDeps), handler, planDeps);
  } finally {
    handler.close();
  }
}
