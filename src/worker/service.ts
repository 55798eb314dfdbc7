import type { ClaimedTask } from "../jobs/task.ts";
import type { Outcome } from "../jobs/verdict.ts";
import type { RunningAttempt } from "./running-attempt.ts";

/** Does the work of one task; a service never throws, it reports. */
export interface Service {
  /** Resolves when a call would be let in at once: a worker asks before it stands in line. */
  ready(signal: AbortSignal): Promise<void>;
  /** Ends early with the reason that the attempt is aborted with. */
  call(claimed: ClaimedTask, attempt: RunningAttempt): Promise<Outcome>;
}

/** One behaviour around a service: what it is named for, and nothing else. */
export type Layer = (inner: Service) => Service;

/** Wraps a service in layers; the first one is the outermost. */
export function compose(layers: readonly Layer[], service: Service): Service {
  return layers.reduceRight((inner, layer) => layer(inner), service);
}

/** A service out of a function that is always ready. */
export function serviceOf(call: Service["call"]): Service {
  return { ready: () => Promise.resolve(), call };
}
