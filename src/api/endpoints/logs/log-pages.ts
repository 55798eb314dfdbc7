import type { JobRecord, LedgerReads, LogLevel, LogRecord } from "../../../jobs/stores/ledger-reads.ts";
import type { Clock } from "../../../std/clock.ts";

/** Some rows of a job's log as a follower gets them. */
interface LogPageText {
  readonly bytes: Uint8Array;
  /** The offset to go on with: less than the job's `logCount` while there is more to read. */
  readonly next: number;
}

const ROWS = 200;
/** Followers of one job soon go at one pace: what the first of them read, the others need not read again. */
const KEPT_MS = 250;
const PAGES_MAX = 100;

interface Kept extends LogPageText {
  readonly logCount: number;
  readonly until: number;
}

/** Pages of logs, rendered once for all who follow the same job at the same place. */
export class LogPages {
  readonly #ledger: Pick<LedgerReads, "logs">;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #kept = new Map<string, Kept>();
  readonly #encoder = new TextEncoder();

  constructor(ledger: Pick<LedgerReads, "logs">, clock: Pick<Clock, "monotonic">) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** Rows from `offset` on, as `render` writes them; those of a moment ago, where there were any. */
  read(
    job: JobRecord,
    offset: number,
    levels: readonly LogLevel[],
    format: { readonly contentType: string; readonly row: (job: JobRecord, row: LogRecord) => string },
  ): LogPageText {
    const key = `${job.seq} ${offset} ${levels.length} ${format.contentType}`;
    const now = this.#clock.monotonic();
    const known = this.#kept.get(key);
    if (known !== undefined && known.until > now && (known.bytes.length > 0 || known.logCount === job.logCount)) {
      return known;
    }
    const { rows, next } = this.#ledger.logs(job, offset, ROWS, levels);
    const page: Kept = {
      bytes: this.#encoder.encode(rows.map((row) => format.row(job, row)).join("")),
      next,
      logCount: job.logCount,
      until: now + KEPT_MS,
    };
    this.#keep(key, page);
    return page;
  }

  #keep(key: string, page: Kept): void {
    this.#kept.delete(key);
    if (this.#kept.size >= PAGES_MAX) this.#kept.delete(this.#kept.keys().next().value ?? "");
    this.#kept.set(key, page);
  }
}
