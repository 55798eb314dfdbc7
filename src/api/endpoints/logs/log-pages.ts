import type { JobRecord, LedgerReads, LogLevel, LogRecord } from "../../../jobs/stores/ledger-reads.ts";
import type { Clock } from "../../../std/clock.ts";
import { ExpiringMap } from "../../../std/collections/expiring-map.ts";

/** Some rows of a job's log, rendered for a stream. */
interface LogPageText {
  readonly bytes: Uint8Array;
  /** The offset of the next page; it is less than the job's `logCount` while there are more rows. */
  readonly next: number;
}

const ROWS = 200;
/** Clients of one job's stream soon read the same pages, so a page that one of them read is kept for the others. */
const KEPT_MS = 250;
const PAGES_MAX = 100;

interface RowFormat {
  readonly contentType: string;
  readonly row: (job: JobRecord, row: LogRecord) => string;
}

interface Kept extends LogPageText {
  readonly logCount: number;
}

/** Pages of logs, rendered once for all clients that read the same job at the same offset. */
export class LogPages {
  readonly #ledger: Pick<LedgerReads, "logs">;
  readonly #kept: ExpiringMap<Kept>;
  /** Reads that are under way. */
  readonly #reading = new Map<string, Promise<LogPageText>>();
  readonly #encoder = new TextEncoder();

  constructor(ledger: Pick<LedgerReads, "logs">, clock: Pick<Clock, "monotonic">) {
    this.#ledger = ledger;
    this.#kept = new ExpiringMap(clock, KEPT_MS, PAGES_MAX);
  }

  /** Rows from `offset` on in the given format; those of a moment ago, if they are kept. */
  async read(job: JobRecord, offset: number, levels: readonly LogLevel[], format: RowFormat): Promise<LogPageText> {
    const key = `${job.seq} ${offset} ${levels.length} ${format.contentType}`;
    const known = this.#kept.get(key);
    if (known !== undefined && (known.bytes.length > 0 || known.logCount === job.logCount)) {
      return known;
    }
    const readKey = `${key} ${job.logCount}`;
    const underWay = this.#reading.get(readKey);
    if (underWay !== undefined) return underWay;
    const reading = this.#render(job, offset, levels, format)
      .then((page) => {
        this.#kept.set(key, page);
        return page;
      })
      .finally(() => this.#reading.delete(readKey));
    this.#reading.set(readKey, reading);
    return reading;
  }

  async #render(job: JobRecord, offset: number, levels: readonly LogLevel[], format: RowFormat): Promise<Kept> {
    const { rows, next } = await this.#ledger.logs(job, offset, ROWS, levels);
    const bytes = this.#encoder.encode(rows.map((row) => format.row(job, row)).join(""));
    return { bytes, next, logCount: job.logCount };
  }
}
