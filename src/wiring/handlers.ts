import type { Config, HandlerConfig } from "../config/schema.ts";
import type { HandlerSettings } from "../intake/handler.ts";
import type { RegisteredHandler } from "../intake/job-plan.ts";
import type { ManifestLimits } from "../intake/manifest-rules.ts";
import { loadHandler } from "../intake/plugins.ts";
import type { EgressPolicy } from "../jobs/egress-policy.ts";
import type { ObjectStore } from "../jobs/object-store.ts";

/** The configured handlers by job type. @throws HandlerLoadError */
export async function loadHandlers(handlers: Config["handlers"]): Promise<ReadonlyMap<string, RegisteredHandler>> {
  const registered = new Map<string, RegisteredHandler>();
  for (const [jobType, config] of Object.entries(handlers)) {
    registered.set(jobType, {
      handler: await loadHandler(jobType, config.handler, config.options),
      settings: handlerSettings(config),
    });
  }
  return registered;
}

/** What a handler is told of its table. */
export function handlerSettings(config: HandlerConfig): HandlerSettings {
  return {
    defaultHeaders: config.default_headers,
    rejectHtml: config.reject_html,
    options: config.options,
    ...(config.storage.bucket !== undefined && { bucket: config.storage.bucket }),
    ...(config.proxy.primary !== undefined && { proxyPool: config.proxy.primary }),
  };
}

/** What a manifest, and what a handler makes of it, may ask for. */
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
