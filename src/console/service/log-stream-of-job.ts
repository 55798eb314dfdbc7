import { useEffect, useState } from "preact/hooks";
import type { LogPage } from "./answers.ts";
import { after } from "./browser-time.ts";
import { get, isFinal, pathWith, type RequestError, SERVICE_PATH } from "./service-request.ts";

export type LogLine = LogPage["logs"][number];

/** Most rows that the page keeps; older ones make room. */
export const LOG_ROWS_MAX = 200;

const RETRY_MS = 2000;
const RETRY_MAX_MS = 30_000;

/** `stopped`: the service refuses the log, so the page no longer asks for it. */
type StreamState = "connecting" | "live" | "interrupted" | "stopped" | "ended";

interface Follower {
  readonly onRow: (row: LogLine) => void;
  /** The error is the reason of an interruption or a stop, if the service gave one. */
  readonly onState: (state: StreamState, error?: RequestError) => void;
}

/** The last rows of a job's log from an offset on, as they come, and the state of the stream. */
export function useJobLog(id: string, from: number, level: string) {
  const [rows, setRows] = useState<readonly LogLine[]>([]);
  const [{ state, error }, setState] = useState<{ state: StreamState; error?: RequestError | undefined }>({
    state: "connecting",
  });
  useEffect(() => {
    setRows([]);
    setState({ state: "connecting" });
    let waiting: LogLine[] = [];
    let frame = 0;
    // Many rows arrive at once: they are drawn together.
    const draw = () => {
      const added = waiting;
      waiting = [];
      frame = 0;
      setRows((last) => [...last, ...added].slice(-LOG_ROWS_MAX));
    };
    const stop = follow(`operators/jobs/${encodeURIComponent(id)}/logs`, from, level, {
      onRow: (row) => {
        waiting.push(row);
        if (waiting.length > LOG_ROWS_MAX) waiting = waiting.slice(-LOG_ROWS_MAX);
        if (frame === 0) frame = requestAnimationFrame(draw);
      },
      onState: (next, reason) => setState({ state: next, error: reason }),
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [id, from, level]);
  return { rows, state, error };
}

/** Follows a log. The returned function ends it. */
function follow(path: string, from: number, level: string, { onRow, onState }: Follower): () => void {
  const ended = new AbortController();
  let source: EventSource | undefined;
  let offset = from;
  let delay = RETRY_MS;
  let cancelRetry = () => {};
  const connect = () => {
    const current = new EventSource(SERVICE_PATH + pathWith(path, { offset, level }));
    source = current;
    current.onopen = () => {
      delay = RETRY_MS;
      onState("live");
    };
    current.onmessage = ({ data }) => {
      const row = JSON.parse(String(data)) as LogLine;
      offset = row.offset + 1;
      onRow(row);
    };
    current.onerror = () => {
      onState("interrupted");
      // A browser connects again after a broken connection, but not after an answer that is no stream.
      if (current.readyState === EventSource.CLOSED) void retry();
    };
    current.addEventListener("end", () => {
      current.close();
      onState("ended");
    });
  };
  const retry = async () => {
    const error = await reasonOf(pathWith(path, { offset, level, limit: 1 }), ended.signal);
    if (ended.signal.aborted) return;
    if (error !== undefined && isFinal(error)) {
      onState("stopped", error);
      return;
    }
    onState("interrupted", error);
    cancelRetry = after(delay, connect);
    delay = Math.min(delay * 2, RETRY_MAX_MS);
  };
  connect();
  return () => {
    ended.abort();
    cancelRetry();
    source?.close();
  };
}

/** Why the service gives no stream: an `EventSource` does not show the answer, so another request asks. */
async function reasonOf(path: string, signal: AbortSignal): Promise<RequestError | undefined> {
  try {
    await get(path, signal);
    return undefined;
  } catch (error) {
    return error as RequestError;
  }
}
