import { isFinished } from "../../../jobs/job.ts";
import type { JobRecord, LedgerReads, LogLevel, LogRecord } from "../../../jobs/stores/ledger-reads.ts";
import type { Clock } from "../../../std/clock.ts";
import type { Turns } from "../../../std/turns.ts";
import { jsonText } from "../../http/json-response.ts";
import type { Call } from "../endpoint.ts";
import { pulledStream } from "../streams/pulled-stream.ts";
import type { LogPages } from "./log-pages.ts";
import { logRow } from "./log-row.ts";

export interface LogStreamDeps {
  readonly ledger: Pick<LedgerReads, "findJob" | "watch">;
  readonly pages: LogPages;
  /** Shared by all readers of logs: together they read one page in a turn of the event loop. */
  readonly turns: Turns;
  readonly clock: Pick<Clock, "after" | "monotonic">;
  /** Ends all streams: the server is about to stop. */
  readonly stopping: AbortSignal;
  /** Closes the connection of a client that read nothing for too long, after so many seconds. */
  readonly drop: (jobId: string, request: Request, seconds: number) => void;
}

/** The texts of a stream. */
export interface LogFormat {
  readonly contentType: string;
  readonly row: (job: JobRecord, row: LogRecord) => string;
  /** Sent every 15 s without rows, so that no proxy closes the connection as idle; empty: not sent. */
  readonly beat: string;
  readonly end: (job: JobRecord) => string;
  /** Sent to a client before it is disconnected. Absent: the body is cut off, so that it does not look complete. */
  readonly dropped?: string;
}

/** @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation */
export const EVENT_STREAM: LogFormat = {
  contentType: "text/event-stream",
  row: (job, row) => `id: ${row.offset}\ndata: ${jsonText(logRow(job, row))}\n\n`,
  beat: ": keep-alive\n\n",
  end: ({ status }) => `event: end\ndata: ${JSON.stringify({ status })}\n\n`,
  dropped: ": disconnected, because the client read nothing for a minute\n\n",
};

export const JSON_LINES: LogFormat = {
  contentType: "application/x-ndjson",
  row: (job, row) => `${jsonText(logRow(job, row))}\n`,
  beat: "",
  end: () => "",
};

const ENCODER = new TextEncoder();
const BEAT_MS = 15_000;
/** Shortest time between two reads of a busy job. */
const PAUSE_MS = 250;
/** Time for the client to read the bytes in flight and the last text. */
const DROP_SECONDS = 10;

/** The stream that one request asks for. */
export interface WantedStream extends Pick<Call, "request" | "requireRights"> {
  readonly job: JobRecord;
  /** Offset of the first row. */
  readonly offset: number;
  readonly levels: readonly LogLevel[];
  readonly format: LogFormat;
}

/**
 * The rows of a job's log from `offset` on, then new rows as they are written, until the job has ended. It reads a page
 * only when the client has taken the one before, so that unread rows take no memory. Once the caller has lost its
 * rights the body is cut off: before the next row, and at the latest after `BEAT_MS`.
 */
export function followLog(wanted: WantedStream, deps: LogStreamDeps): ReadableStream<Uint8Array> {
  const { job, format, request } = wanted;
  const over = AbortSignal.any([request.signal, deps.stopping]);
  return pulledStream(follow(wanted, over, deps), {
    clock: deps.clock,
    onStuck: () => deps.drop(job.jobId, request, DROP_SECONDS),
    dropped: format.dropped,
  });
}

async function* follow(
  { job: { jobId, seq }, offset, levels, format, requireRights }: WantedStream,
  over: AbortSignal,
  { ledger, pages, clock, turns }: LogStreamDeps,
): AsyncGenerator<Uint8Array, void> {
  // The watch begins before the first read, so that no change falls between the two.
  using news = new News(ledger, seq, clock);
  let next = offset;
  while (!over.aborted) {
    const job = await ledger.findJob(jobId);
    if (job === undefined) return; // its retention has passed
    const page = await pages.read(job, next, levels, format);
    requireRights();
    next = page.next;
    if (page.bytes.length > 0) yield page.bytes;
    if (next < job.logCount) {
      // Between two pages other requests have a turn, however fast the client reads.
      await turns.next();
      continue;
    }
    if (isFinished(job.status)) {
      const end = format.end(job);
      if (end !== "") yield ENCODER.encode(end);
      return;
    }
    if (!(await news.wait(over)) && format.beat !== "") yield ENCODER.encode(format.beat);
  }
}

/** Waits for new rows of a job, and limits how often they are read. */
class News implements Disposable {
  readonly #unwatch: () => void;
  readonly #clock: LogStreamDeps["clock"];
  #isNew = false;
  #wake: () => void = () => {};
  #toldAt: number;

  constructor(ledger: Pick<LedgerReads, "watch">, seq: number, clock: LogStreamDeps["clock"]) {
    this.#clock = clock;
    this.#toldAt = clock.monotonic();
    this.#unwatch = ledger.watch(seq, () => {
      this.#isNew = true;
      this.#wake();
    });
  }

  /** True when there are new rows; false when there were none for 15 s, or `over` is aborted. */
  async wait(over: AbortSignal): Promise<boolean> {
    if (!this.#isNew) await this.#until(BEAT_MS, over, true);
    const wasNew = this.#isNew;
    if (wasNew) await this.#until(this.#toldAt + PAUSE_MS - this.#clock.monotonic(), over, false);
    this.#isNew = false;
    this.#toldAt = this.#clock.monotonic();
    return wasNew;
  }

  [Symbol.dispose](): void {
    this.#unwatch();
  }

  #until(ms: number, over: AbortSignal, endsByNews: boolean): Promise<void> {
    if (ms <= 0 || over.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        over.removeEventListener("abort", done);
        this.#wake = () => {};
        resolve();
      };
      const timer = this.#clock.after(ms, done);
      over.addEventListener("abort", done, { once: true });
      if (endsByNews) this.#wake = done;
    });
  }
}
