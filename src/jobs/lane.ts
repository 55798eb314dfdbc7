import type { JobHeader } from "./job.ts";

/** The tasks of one job for one host and one bucket: the unit of fairness. */
export interface Lane {
  readonly id: number;
  readonly job: JobHeader;
  readonly host: string;
  readonly bucket: string;
  /** Tasks that wait, due or not. */
  readonly waiting: number;
  /** No task of the lane is due earlier. */
  readonly nextDue: number;
}
