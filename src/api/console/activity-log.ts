/** Most entries in memory. The service's log has all of them. */
const ENTRIES_MAX = 1000;

/** The changes that operators make. */
export const ACTIVITIES = ["pause", "resume", "cancel", "replay", "discard", "stop", "reopen", "sign-in"] as const;

/** A change that an operator made. */
export interface Activity {
  readonly action: (typeof ACTIVITIES)[number];
  /** The changed object or the filter; `null` if the action has only one. */
  readonly target: string | null;
  /** Number of changed objects; `null` if the action has none. */
  readonly count: number | null;
}

interface ActivityEntry extends Activity {
  /** A sequential number. */
  readonly id: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Name of the token; `undefined` without one. */
  readonly token: string | undefined;
  readonly requestId: string;
}

/** The latest changes that operators made, in memory: a restart empties the list. */
export class ActivityLog {
  readonly #entries: ActivityEntry[] = [];
  #last = 0;

  add(entry: Omit<ActivityEntry, "id">): void {
    this.#last++;
    this.#entries.push({ id: this.#last, ...entry });
    if (this.#entries.length > ENTRIES_MAX) this.#entries.shift();
  }

  /** The newest entries with an id below `before`, the newest first. */
  list(before: number, limit: number): ActivityEntry[] {
    return this.#entries
      .filter(({ id }) => id < before)
      .slice(-limit)
      .reverse();
  }
}
