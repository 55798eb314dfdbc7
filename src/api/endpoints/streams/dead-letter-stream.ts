import type { DeadLetterFilter, DeadLetterReads, DeadLetterRecord } from "../../../jobs/stores/dead-letter-reads.ts";
import type { Clock } from "../../../std/clock.ts";
import { Turns } from "../../../std/turns.ts";
import { jsonText } from "../../http/json-response.ts";
import type { Call } from "../endpoint.ts";
import { pulledStream } from "./pulled-stream.ts";

export const DEAD_LETTER_LINES = "application/x-ndjson";

/** Dead letters of one read. */
const PAGE = 200;
/** Time for a client that reads nothing to take the bytes in flight. */
const DROP_SECONDS = 10;

export interface DeadLetterStreamDeps {
  readonly clock: Pick<Clock, "after">;
  /** Ends all streams: the server is about to stop. */
  readonly stopping: AbortSignal;
  /** Closes the connection of a client that read nothing for too long, after so many seconds. */
  readonly dropDeadLetters: (request: Request, seconds: number) => void;
}

interface WantedDeadLetters extends Pick<Call, "request" | "requireRights"> {
  readonly filter: DeadLetterFilter;
  /** Only tasks with smaller ids. */
  readonly before: number;
}

/**
 * Makes the stream of all dead letters that match a filter, one line of JSON each. It goes down by the task ids, so
 * that no dead letter comes twice, whatever changes meanwhile.
 */
export function deadLetterStreams(
  deadLetters: Pick<DeadLetterReads, "list">,
  rowOf: (deadLetter: DeadLetterRecord) => object,
  { clock, stopping, dropDeadLetters }: DeadLetterStreamDeps,
): (wanted: WantedDeadLetters) => Response {
  const turns = new Turns();

  async function* pages({
    filter,
    before,
    request,
    requireRights,
  }: WantedDeadLetters): AsyncGenerator<Uint8Array, void> {
    const encoder = new TextEncoder();
    for (let next = before; !request.signal.aborted; ) {
      // An end would look like the end of the dead letters.
      stopping.throwIfAborted();
      const rows = await deadLetters.list(filter, next, PAGE);
      requireRights();
      const last = rows.at(-1);
      if (last === undefined) return;
      yield encoder.encode(rows.map((row) => `${jsonText(rowOf(row))}\n`).join(""));
      next = last.task;
      await turns.next();
    }
  }

  return (wanted) => {
    const { request } = wanted;
    const headers = { "content-type": DEAD_LETTER_LINES, "x-accel-buffering": "no" };
    if (request.method === "HEAD") return new Response(null, { headers });
    const onStuck = () => dropDeadLetters(request, DROP_SECONDS);
    return new Response(pulledStream(pages(wanted), { clock, onStuck }), { headers });
  };
}
