import type { HostChange, HostRecord } from "../../jobs/host-record.ts";
import type { HostBook } from "../../jobs/stores/host-book.ts";
import type { QueueContext } from "./queue-context.ts";

interface HostRow {
  host: string;
  closed_until: number;
  failures: number;
  breaker_ms: number;
  breaker_until: number;
  unavailable_since: number | null;
  bears: number;
  slowed_at: number;
}

function readHosts({ db }: QueueContext): HostRecord[] {
  return db.query<HostRow, []>("SELECT * FROM hosts").all().map(recordOf);
}

function recordOf(row: HostRow): HostRecord {
  return {
    host: row.host,
    closedUntil: row.closed_until,
    failuresInARow: row.failures,
    breakerMs: row.breaker_ms,
    breakerUntil: row.breaker_until,
    unavailableSince: row.unavailable_since ?? undefined,
    concurrencyLimit: row.bears,
    slowedAt: row.slowed_at,
  };
}

/** Writes or deletes the records of hosts. Runs inside a transaction. */
function writeHosts({ db }: QueueContext, changes: readonly HostChange[]): void {
  const forget = db.query<never, [string]>("DELETE FROM hosts WHERE host = ?");
  const remember = db.query<never, [string, number, number, number, number, number | null, number, number]>(
    "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  for (const change of changes) {
    if ("forget" in change) forget.run(change.host);
    else {
      const { host, closedUntil, failuresInARow, breakerMs, breakerUntil, unavailableSince, slowedAt } = change;
      // The columns hold whole milliseconds.
      remember.run(
        host,
        Math.ceil(closedUntil),
        failuresInARow,
        breakerMs,
        Math.ceil(breakerUntil),
        unavailableSince === undefined ? null : Math.floor(unavailableSince),
        change.concurrencyLimit,
        Math.floor(slowedAt),
      );
    }
  }
}

export class HostRows implements HostBook {
  readonly #context: QueueContext;

  constructor(context: QueueContext) {
    this.#context = context;
  }

  async known(): Promise<HostRecord[]> {
    return readHosts(this.#context);
  }

  async find(host: string): Promise<HostRecord | undefined> {
    const row = this.#context.db.query<HostRow, [string]>("SELECT * FROM hosts WHERE host = ?").get(host);
    return row === null ? undefined : recordOf(row);
  }

  note(take: () => readonly HostChange[]): Promise<void> {
    let taken: readonly HostChange[] | undefined;
    return this.#context.commit.run(() => {
      taken ??= take();
      writeHosts(this.#context, taken);
    });
  }
}
