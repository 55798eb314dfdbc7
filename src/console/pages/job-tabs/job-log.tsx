import { useEffect, useRef, useState } from "preact/hooks";
import { Choice } from "../../parts/fields.tsx";
import { ErrorText } from "../../parts/states.tsx";
import { Status, Time, visible } from "../../parts/text.tsx";
import { LOG_ROWS_MAX, type LogLine, useJobLog } from "../../service/log-stream-of-job.ts";

const LEVELS = ["debug", "info", "warn", "error"];

/** The log of a job, live: its last rows, and then each new one. */
export function JobLog({ id, count }: { readonly id: string; readonly count: number }) {
  const [from] = useState(Math.max(count - LOG_ROWS_MAX, 0));
  const [level, setLevel] = useState("");
  const [follows, setFollows] = useState(true);
  const { rows, state, error } = useJobLog(id, from, level);
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    if (follows) list.current?.scrollTo(0, list.current.scrollHeight);
  }, [rows, follows]);
  return (
    <>
      <div class="filters">
        <Choice label="Level" value={level} options={LEVELS} none="all" onChange={setLevel} />
        <label class="field inline">
          <input
            type="checkbox"
            checked={follows}
            onChange={({ currentTarget }) => setFollows(currentTarget.checked)}
          />
          Follow
        </label>
        <Status name={state} />
        {rows.length === LOG_ROWS_MAX && <span class="faint">the last {LOG_ROWS_MAX} rows</span>}
      </div>
      {error !== undefined && <ErrorText error={error} />}
      {state === "stopped" && <p class="faint">The page no longer asks for new rows. Load it again to retry.</p>}
      <ol class="log" ref={list} aria-label="Log">
        {rows.map((row) => (
          <LogRow key={row.offset} row={row} />
        ))}
      </ol>
    </>
  );
}

function LogRow({ row }: { readonly row: LogLine }) {
  const { timestamp, level, message, resource_id: resource, fields } = row;
  const more = Object.keys(fields).length === 0 ? "" : JSON.stringify(fields);
  return (
    <li data-level={level}>
      <Time at={timestamp} /> <span class="level">{level}</span> <bdi>{visible(message)}</bdi>{" "}
      {resource !== null && <bdi class="faint">{visible(resource)}</bdi>} <bdi class="faint">{visible(more)}</bdi>
    </li>
  );
}
