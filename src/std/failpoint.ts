/** The events that a commit of queue.db can have. */
const EVENTS = [
  "jobAccepted",
  "jobStarted",
  "taskCompleted",
  "taskPostponed",
  "taskFailed",
  "jobFinished",
  "cancelRequested",
  "taskCancelled",
  "taskReplayed",
  "letterDropped",
] as const;

/**
 * The steps between which a crash must lose nothing. A crash test arms one by an environment variable
 * (`FETCHBOX_FAILPOINT`), and the process kills itself there; otherwise they cost nothing.
 */
export const FAILPOINTS = [
  "manifest.stored",
  ...EVENTS.map((event) => `queue.before-commit/${event}` as const),
  ...EVENTS.map((event) => `queue.after-commit/${event}` as const),
  "dlq.applied",
  "ledger.applied",
  "dlq.checkpointed",
  "ledger.checkpointed",
  "upload.recorded",
  "upload.completed",
  "object.stored",
  "object.removed",
  "recover.upload-aborted",
] as const;

type Failpoint = (typeof FAILPOINTS)[number];

/** Reports that the process passes a point. */
export type Reach = (point: Failpoint) => void;

/** `name` or `name:n`: the point, and at which time of passing it the process ends. */
export function parseFailpoint(text: string): { point: Failpoint; times: number } | undefined {
  const [, name, times = "1"] = /^([^:]+)(?::([1-9]\d{0,5}))?$/.exec(text) ?? [];
  const point = FAILPOINTS.find((known) => known === name);
  return point === undefined ? undefined : { point, times: Number(times) };
}

/** Calls `end` when `point` is passed for the `times`-th time. */
export function armFailpoint({ point, times }: { point: Failpoint; times: number }, end: () => void): Reach {
  let left = times;
  return (passed) => {
    if (passed === point && --left === 0) end();
  };
}
