import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText, durationText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { Copy, Foreign, visible } from "../parts/text.tsx";
import { instanceName } from "../service/instance.ts";
import { post } from "../service/service-request.ts";
import { FilterText } from "./filter-text.tsx";
import type { Letters } from "./letters.ts";
import { BRIEFLY, type LettersChanged, useDryRun } from "./letters-selection.ts";
import { headersOf, replayCommand } from "./replay-command.ts";

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
  const [headerText, setHeaderText] = useState("");
  const [pool, setPool] = useState("");
  const perSecond = Number(rate);
  const isRate = rate === "" || perSecond > 0;
  const headers = headersOf(headerText);
  const replay = async () => {
    const overrides = { ...(Object.keys(headers).length > 0 && { headers }), ...(pool !== "" && { proxy_pool: pool }) };
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
        <textarea rows={2} value={headerText} onInput={({ currentTarget }) => setHeaderText(currentTarget.value)} />
      </label>
      <label>
        Proxy pool; empty: as before
        <input value={pool} onInput={({ currentTarget }) => setPool(currentTarget.value.trim())} />
      </label>
      <Command {...replayCommand(letters, { rate, headers, pool })} />
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

function Command({ parts, masked }: ReturnType<typeof replayCommand>) {
  return (
    <>
      <p class="command">
        <code>
          {parts.map((part) => (
            <Fragment key={part}>
              <span>{visible(part)}</span>{" "}
            </Fragment>
          ))}
        </code>
        <Copy text={parts.join(" ")} label="command" />
      </p>
      {masked.length > 0 && (
        <p class="faint">
          The command has <code>***</code> in place of the value of <Foreign text={masked.join(", ")} wide />, which may
          be a secret. Type the value in before you run it.
        </p>
      )}
    </>
  );
}

/** Rows that vanished meanwhile are skipped, and the page says so. */
function doneText(done: number, found: number, operation: number | undefined): string {
  if (operation !== undefined)
    return `Operation ${operation} replays ${countedText(found, "dead letter")} in the background.`;
  const gone = found - done;
  return `Replayed: ${countedText(done, "dead letter")}.${gone > 0 ? ` Gone already: ${countText(gone)}.` : ""}`;
}
