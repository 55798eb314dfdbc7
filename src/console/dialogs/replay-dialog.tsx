import { useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText, durationText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { Copy } from "../parts/text.tsx";
import { instanceName } from "../service/instance.ts";
import { post } from "../service/service-request.ts";
import { FilterText } from "./filter-text.tsx";
import { BRIEFLY, type Letters, type LettersChanged, useDryRun } from "./letters-selection.ts";

interface ReplayProps {
  readonly selection: Letters;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const PATH = "operators/dlq/replay";
const RATE = "5";

/** Tries dead letters again, after a dry run. */
export function ReplayDialog({ selection, onClose, onDone }: ReplayProps) {
  const { letters, matched, error } = useDryRun(PATH, selection);
  const [rate, setRate] = useState(RATE);
  const [headers, setHeaders] = useState("");
  const [pool, setPool] = useState("");
  const perSecond = Number(rate);
  const isRate = rate === "" || perSecond > 0;
  const replay = async () => {
    const overrides = { ...headersOf(headers), ...(pool !== "" && { proxy_pool: pool }) };
    const body = {
      ...letters,
      ...(rate !== "" && { rate_per_second: perSecond }),
      ...(Object.keys(overrides).length > 0 && { overrides }),
    };
    const { replayed = 0, matched: found, operation } = await post<LettersChanged>(PATH, body, BRIEFLY);
    announce(doneText(replayed, found, operation?.operation_id));
    onDone();
  };
  return (
    <Dialog title={`Replay on ${instanceName.value}`} onClose={onClose}>
      {"filter" in letters && <FilterText filter={letters.filter} />}
      <p>
        {matched === undefined
          ? "FetchBox counts the dead letters…"
          : `The dry run found ${countedText(matched, "dead letter")}.`}
      </p>
      {error !== undefined && <ErrorText error={error} />}
      <label>
        Rate per second; empty: all at once
        <input inputMode="decimal" value={rate} onInput={({ currentTarget }) => setRate(currentTarget.value.trim())} />
      </label>
      {matched !== undefined && isRate && rate !== "" && (
        <p class="faint">≈ {durationText((matched / perSecond) * 1000)}</p>
      )}
      <label>
        Headers to set, one <code>Name: value</code> a line
        <textarea rows={2} value={headers} onInput={({ currentTarget }) => setHeaders(currentTarget.value)} />
      </label>
      <label>
        Proxy pool; empty: as before
        <input value={pool} onInput={({ currentTarget }) => setPool(currentTarget.value.trim())} />
      </label>
      <p>
        <Copy text={commandOf(letters, rate)} label="command" />
      </p>
      <Confirm
        label={`Replay ${matched === undefined ? "" : countText(matched)}`}
        count={matched ?? 0}
        isReady={matched !== undefined && matched > 0 && isRate}
        act={replay}
        onClose={onClose}
      />
    </Dialog>
  );
}

function headersOf(text: string) {
  const pairs = text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const at = line.indexOf(":");
      return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    });
  return pairs.length === 0 ? {} : { headers: Object.fromEntries(pairs) };
}

/** Rows that vanished meanwhile are skipped, and the page says so. */
function doneText(done: number, found: number, operation: number | undefined): string {
  if (operation !== undefined)
    return `Operation ${operation} replays ${countedText(found, "dead letter")} in the background.`;
  const gone = found - done;
  return `Replayed: ${countedText(done, "dead letter")}.${gone > 0 ? ` Gone already: ${countText(gone)}.` : ""}`;
}

/** The same replay on the command line. */
function commandOf(letters: Letters, rate: string): string {
  const chosen =
    "task_ids" in letters
      ? letters.task_ids.map(String)
      : Object.entries(letters.filter).map(([name, value]) => `--${name.replaceAll("_", "-")} ${quoted(value)}`);
  return ["fetchbox dlq replay", ...chosen, ...(rate === "" ? [] : [`--rate ${rate}`])].join(" ");
}

function quoted(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
