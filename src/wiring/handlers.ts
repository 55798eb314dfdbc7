import type { Config } from "../config/schema.ts";
import { loadHandler } from "../intake/plugins.ts";
import type { RegisteredHandler } from "../intake/submit.ts";

/** The configured handlers by job type. @throws HandlerLoadError */
export async function loadHandlers(handlers: Config["handlers"]): Promise<ReadonlyMap<string, RegisteredHandler>> {
  const registered = new Map<string, RegisteredHandler>();
  for (const [jobType, config] of Object.entries(handlers)) {
    registered.set(jobType, {
      handler: await loadHandler(jobType, config.handler, config.options),
      settings: {
        defaultHeaders: config.default_headers,
        rejectHtml: config.reject_html,
        options: config.options,
        ...(config.storage.bucket !== undefined && { bucket: config.storage.bucket }),
        ...(config.proxy.primary !== undefined && { proxyPool: config.proxy.primary }),
      },
    });
  }
  return registered;
}

/** Every bucket that a job may write to. */
export function allowedBuckets({ storage, handlers }: Config): ReadonlySet<string> {
  const ofHandlers = Object.values(handlers).flatMap((handler) => handler.storage.bucket ?? []);
  return new Set([storage.bucket, ...storage.allowed_buckets, ...ofHandlers]);
}
