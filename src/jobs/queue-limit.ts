/** The causes that keep downloads from starting. */
export const LIMIT_CAUSES = [
  "draining",
  "starting",
  "disk_full",
  "queue",
  "paused",
  "descriptors",
  "rate_limit",
  "workers",
  "suspect",
  "storage",
  "hosts",
  "not_due",
] as const;

export interface Limit {
  readonly cause: (typeof LIMIT_CAUSES)[number];
  /** For people: the setting behind the cause, and the way to end it. */
  readonly reason: string;
}
