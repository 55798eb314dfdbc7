import { useEffect, useState } from "preact/hooks";
import type { LogPage } from "./answers.ts";
import { pathWith, SERVICE_PATH } from "./service-request.ts";

export type LogLine = LogPage["logs"][number];

/** Most rows that the page keeps; older ones make room. */
export const LOG_ROWS_MAX = 200;

type StreamState = "connecting" | "live" | "interrupted" | "ended";

/** Follows the log of a job from an offset on. The browser connects again by itself, after the last row. */
export function useJobLog(id: string, from: number, level: string) {
  const [rows, setRows] = useState<readonly LogLine[]>([]);
  const [state, setState] = useState<StreamState>("connecting");
  useEffect(() => {
    setRows([]);
    setState("connecting");
    const source = new EventSource(SERVICE_PATH + pathWith(`operators/jobs/${id}/logs`, { offset: from, level }));
    let waiting: LogLine[] = [];
    let frame = 0;
    // Many rows arrive at once: they are drawn together.
    const draw = () => {
      const added = waiting;
      waiting = [];
      frame = 0;
      setRows((last) => [...last, ...added].slice(-LOG_ROWS_MAX));
    };
    source.onopen = () => setState("live");
    source.onerror = () => setState("interrupted");
    source.onmessage = ({ data }) => {
      waiting.push(JSON.parse(String(data)) as LogLine);
      if (waiting.length > LOG_ROWS_MAX) waiting = waiting.slice(-LOG_ROWS_MAX);
      if (frame === 0) frame = requestAnimationFrame(draw);
    };
    source.addEventListener("end", () => {
      source.close();
      setState("ended");
    });
    return () => {
      source.close();
      cancelAnimationFrame(frame);
    };
  }, [id, from, level]);
  return { rows, state };
}
