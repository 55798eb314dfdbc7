import { createParser, type EventSourceMessage } from "eventsource-parser";
import { FetchBoxError } from "./errors.ts";
import type { LogFilter, LogRow } from "./model.ts";
import { backoffMs, delay, isTransient } from "./retry.ts";
import type { Transport } from "./transport.ts";

export interface FollowOptions {
  readonly filter: LogFilter;
  readonly signal: AbortSignal | undefined;
}

/** The part of a stream's reader that all runtimes declare alike. */
interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

/** The log of a job up to its end. A broken stream resumes behind the last row. */
export async function* followLog(
  transport: Transport,
  jobId: string,
  { filter, signal }: FollowOptions,
): AsyncGenerator<LogRow, void, undefined> {
  let lastId: string | undefined;
  for (let failures = 0; ; failures++) {
    try {
      for await (const { id, event, data } of eventsOf(transport, jobId, { filter, signal, lastId })) {
        if (event === "end") return;
        yield rowOf(jobId, data);
        lastId = id;
        failures = 0;
      }
      throw new FetchBoxError("NETWORK_ERROR", `the log of job ${jobId} broke off before its end`);
    } catch (error) {
      signal?.throwIfAborted();
      const canResume = error instanceof FetchBoxError && isTransient(error) && failures < transport.policy.retries;
      if (!canResume) throw error;
    }
    await delay(backoffMs(transport.policy, failures), signal);
  }
}

/** A row of the log. The error does not repeat the text: a wrong server may put the token there. */
function rowOf(jobId: string, data: string): LogRow {
  try {
    const row: unknown = JSON.parse(data);
    if (typeof row === "object" && row !== null) return row as LogRow;
  } catch {}
  throw new FetchBoxError("UNEXPECTED_ANSWER", `the log of job ${jobId} has a row that is not JSON`);
}

/** The events of one connection. */
async function* eventsOf(
  transport: Transport,
  jobId: string,
  start: FollowOptions & { readonly lastId: string | undefined },
): AsyncGenerator<EventSourceMessage, void, undefined> {
  const closing = new AbortController();
  try {
    const reader = (await open(transport, jobId, start, closing)).getReader();
    const decoder = new TextDecoder();
    const received: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (event) => received.push(event) });
    for (;;) {
      const { done, value } = await transport.within(transport.silenceTimeoutMs, undefined, (limit) =>
        read(reader, limit, closing),
      );
      if (done || value === undefined) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* received.splice(0);
    }
  } finally {
    closing.abort();
  }
}

async function open(
  transport: Transport,
  jobId: string,
  { filter, lastId, signal }: FollowOptions & { readonly lastId: string | undefined },
  closing: AbortController,
): Promise<ReadableStream<Uint8Array>> {
  const until = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]);
  const { response, data } = await transport.answer(
    (limit) =>
      transport.api.GET("/operators/jobs/{job_id}/logs", {
        params: { path: { job_id: jobId }, query: filter },
        headers: { accept: "text/event-stream", ...(lastId !== undefined && { "last-event-id": lastId }) },
        parseAs: "stream",
        signal: AbortSignal.any([limit, until]),
      }),
    // followLog counts the broken connections.
    { signal, repeatable: "refused" },
  );
  const body: unknown = data;
  if (!(body instanceof ReadableStream) || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw new FetchBoxError("UNEXPECTED_ANSWER", "the server did not answer with an event stream");
  }
  return body;
}

/** The next chunk; a time limit closes the connection. */
function read(reader: Reader, limit: AbortSignal, closing: AbortController): ReturnType<Reader["read"]> {
  limit.addEventListener("abort", () => closing.abort(), { once: true });
  return reader.read();
}
