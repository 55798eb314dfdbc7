import type { Outcome } from "../jobs/verdict.ts";
import type { Attempt } from "./attempt.ts";

/** Does the work of one attempt. Its outcome reports failures; an exception means a fault of ours. */
export interface Service {
  /** Resolves when the service would start a call at once. A worker waits for it before it takes a task. */
  ready(signal: AbortSignal): Promise<void>;
  /** Ends early with the reason that the attempt was aborted with. */
  call(attempt: Attempt): Promise<Outcome>;
}

/** Adds one behaviour to a service. */
export type Layer = (inner: Service) => Service;

/** Wraps a service in layers; the first one is the outermost. */
export function compose(layers: readonly Layer[], service: Service): Service {
  return layers.reduceRight((inner, layer) => layer(inner), service);
}

/** Makes a service from a function; the service is always ready. */
export function serviceOf(call: Service["call"]): Service {
  return { ready: () => Promise.resolve(), call };
}
