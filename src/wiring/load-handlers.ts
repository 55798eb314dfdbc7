import type { Config, HandlerConfig } from "../config/schema.ts";
import { createDefaultHandler } from "../intake/handlers/default-handler.ts";
import { type FileHandlerDeps, HandlerLoadError, loadFileHandler } from "../intake/handlers/file-handler.ts";
import type { HandlerRunner, HandlerSettings } from "../intake/handlers/handler.ts";
import type { Message } from "../intake/handlers/thread-protocol.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { ManifestLimits } from "../intake/manifest/manifest-rules.ts";
import type { ObjectStore } from "../jobs/object-store.ts";
import type { EgressPolicy } from "../net/egress-policy.ts";
import type { Clock } from "../std/clock.ts";
import { plainHeaders } from "./downloads/header-tables.ts";

/**
 * The configured handlers by job type; `onMessage` receives their output.
 * @throws HandlerLoadError with every file that cannot be loaded
 */
export async function loadHandlers(
  handlers: Config["handlers"],
  { onMessage, clock }: { readonly onMessage: (jobType: string, said: Message) => void; readonly clock: Clock },
): Promise<ReadonlyMap<string, RegisteredHandler>> {
  const registered = new Map<string, RegisteredHandler>();
  const problems: HandlerLoadError[] = [];
  for (const [jobType, config] of Object.entries(handlers)) {
    try {
      const handler = await loadHandler(jobType, config, { onMessage: (said) => onMessage(jobType, said), clock });
      registered.set(jobType, { handler, settings: handlerSettings(config) });
    } catch (error) {
      if (!(error instanceof HandlerLoadError)) throw error;
      problems.push(error);
    }
  }
  if (problems.length === 0) return registered;
  closeHandlers(registered);
  const lines = problems.flatMap((problem) => problem.lines);
  throw new HandlerLoadError(lines, { cause: problems[0] });
}

/** Ends all running calls of the handlers. */
export function closeHandlers(handlers: ReadonlyMap<string, RegisteredHandler>): void {
  for (const { handler } of handlers.values()) handler.close();
}

/** One handler by its settings; `onMessage` receives its output. @throws HandlerLoadError */
export async function loadHandler(
  name: string | undefined,
  { handler: file, options, deadline_ms: deadlineMs, max_tasks: maxTasks }: HandlerConfig,
  deps: Pick<FileHandlerDeps, "onMessage" | "clock">,
): Promise<HandlerRunner> {
  if (file === "default") return createDefaultHandler();
  return loadFileHandler({ name, file, options, deadlineMs, maxTasks, ...deps });
}

/** The settings that a handler sees, without headers that hold secrets: those go to certain hosts only. */
export function handlerSettings(config: HandlerConfig): HandlerSettings {
  return {
    defaultHeaders: plainHeaders(config.default_headers),
    rejectHtml: config.reject_html,
    options: config.options,
    ...(config.storage.bucket !== undefined && { bucket: config.storage.bucket }),
    ...(config.proxy.primary !== undefined && { proxyPool: config.proxy.primary }),
  };
}

/** The limits of a manifest and of the tasks that a handler makes of it. */
export function manifestLimits(
  config: Config,
  policy: Pick<EgressPolicy, "deniesLiteral">,
  store: Pick<ObjectStore, "refuses">,
): ManifestLimits {
  return {
    maxResources: config.api.max_resources_per_manifest,
    buckets: allowedBuckets(config),
    pools: new Set(Object.keys(config.proxies)),
    deniesLiteral: (url) => policy.deniesLiteral(url),
    refusesKey: (key) => store.refuses(key),
  };
}

/** Every bucket that a job may write to. */
export function allowedBuckets({ storage, handlers }: Config): ReadonlySet<string> {
  const ofHandlers = Object.values(handlers).flatMap((handler) => handler.storage.bucket ?? []);
  return new Set([storage.bucket, ...storage.allowed_buckets, ...ofHandlers]);
}
