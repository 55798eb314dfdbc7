/** What dead letters can be counted by. */
export const GROUPINGS = ["code", "host", "job_type", "day"] as const;
export type Grouping = (typeof GROUPINGS)[number];

/** Dead letters that have something in common. */
export interface DeadLetterGroup {
  readonly key: string;
  readonly letters: number;
  /** Milliseconds since the epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** The newest of them, by its task id. */
  readonly sample: number;
}

/** What the group's name is in SQL. */
export const KEYS: Readonly<Record<Grouping, string>> = {
  code: "code",
  host: "host",
  job_type: "job_type",
  day: "date(failed_at / 1000, 'unixepoch')",
};
