import type { Database } from "bun:sqlite";
import { type DeadLetterGroup, type Grouping } from "../../jobs/stores/dead-letter-reads.ts";

/** The values by which a dead letter is counted. */
export interface Countable {
  readonly code: string;
  readonly host: string;
  readonly jobType: string;
  readonly failedAt: number;
}

const DAY_MS = 86_400_000;
/** The key of a group in SQL; a day is in UTC, `YYYY-MM-DD`. */
export const GROUP_KEYS: Readonly<Record<Grouping, string>> = {
  code: "code",
  host: "host",
  job_type: "job_type",
  day: "date(failed_at / 1000, 'unixepoch')",
};

/** Conditions that an index serves, so that the first and last dead letter of a group are found without a scan. */
const SPANS: Readonly<Record<Grouping, string>> = {
  code: "code = g.key",
  host: "host = g.key",
  job_type: "job_type = g.key",
  day: `failed_at >= unixepoch(g.key) * 1000 AND failed_at < unixepoch(g.key) * 1000 + ${DAY_MS}`,
};

/** Gathers the changes of the groups, so that a batch writes each group once. */
export class GroupChanges {
  readonly #changes = new Map<string, { grouping: Grouping; key: string; by: number }>();

  /** Counts a dead letter that was added (1) or removed (-1). */
  count({ code, host, jobType, failedAt }: Countable, by: 1 | -1): void {
    this.#add("code", code, by);
    this.#add("host", host, by);
    this.#add("job_type", jobType, by);
    this.#add("day", new Date(failedAt).toISOString().slice(0, 10), by);
  }

  /** False if a group's count cannot be right. Runs inside the batch's transaction. */
  write(db: Database): boolean {
    const known = db.query<{ letters: number }, [Grouping, string]>(
      "SELECT letters FROM groups WHERE grouping = ? AND key = ?",
    );
    const drop = db.query<never, [Grouping, string]>("DELETE FROM groups WHERE grouping = ? AND key = ?");
    const put = db.query<never, [Grouping, string, number]>(
      `INSERT INTO groups (grouping, key, letters) VALUES (?1, ?2, ?3)
       ON CONFLICT (grouping, key) DO UPDATE SET letters = excluded.letters`,
    );
    for (const { grouping, key, by } of this.#changes.values()) {
      if (by === 0) continue;
      const letters = (known.get(grouping, key)?.letters ?? 0) + by;
      if (letters < 0) return false;
      if (letters === 0) drop.run(grouping, key);
      else put.run(grouping, key, letters);
    }
    return true;
  }

  #add(grouping: Grouping, key: string, by: 1 | -1): void {
    const name = `${grouping} ${key}`;
    const change = this.#changes.get(name);
    if (change === undefined) this.#changes.set(name, { grouping, key, by });
    else change.by += by;
  }
}

/** The number of dead letters in a group. */
export function groupSize(db: Database, grouping: Grouping, key: string): number {
  const row = db
    .query<{ letters: number }, [Grouping, string]>("SELECT letters FROM groups WHERE grouping = ? AND key = ?")
    .get(grouping, key);
  return row?.letters ?? 0;
}

/** All groups, the largest first, or the latest days. The number of reads depends on the groups alone. */
export function allGroups(db: Database, by: Grouping, limit: number): DeadLetterGroup[] {
  const span = SPANS[by];
  const edge = (what: string, order: string) =>
    `(SELECT ${what} FROM dead_letters WHERE ${span} ORDER BY failed_at ${order}, task ${order} LIMIT 1)`;
  return db
    .query<DeadLetterGroup, [Grouping, number]>(
      `SELECT g.key, g.letters, ${edge("failed_at", "ASC")} AS firstAt, ${edge("failed_at", "DESC")} AS lastAt,
         ${edge("task", "DESC")} AS sample
       FROM groups g WHERE g.grouping = ? ORDER BY ${by === "day" ? "g.key DESC" : "g.letters DESC, g.key"} LIMIT ?`,
    )
    .all(by, limit);
}

/** The groups of the dead letters that match a condition. It reads all of these. */
export function groupsWhere(
  db: Database,
  by: Grouping,
  { where, values }: { readonly where: string; readonly values: Readonly<Record<string, string | number>> },
  limit: number,
): DeadLetterGroup[] {
  return db
    .query<DeadLetterGroup, [Record<string, string | number>]>(
      `SELECT ${GROUP_KEYS[by]} AS key, count(*) AS letters, min(failed_at) AS firstAt, max(failed_at) AS lastAt,
         max(task) AS sample
       FROM dead_letters${where} GROUP BY 1 ORDER BY ${by === "day" ? "key DESC" : "letters DESC, key"} LIMIT $limit`,
    )
    .all({ ...values, limit });
}
