import { AsyncLocalStorage } from "node:async_hooks";

/** The iteration that runs now, for k6's modules. */
export interface Iteration {
  readonly scenario: string;
  /** Number of the virtual user, from 1. */
  readonly vu: number;
  readonly inTest: number;
  readonly inInstance: number;
  /**
   * When the schedule wanted the iteration to start. The first request is measured from then, so that a busy runner
   * does not hide the time that a client waits. `undefined` once that request began, and outside of arrival rates.
   */
  scheduledAt: number | undefined;
}

export const iterations = new AsyncLocalStorage<Iteration>();
