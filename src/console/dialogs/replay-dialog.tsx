import { Fragment } from "preact";
import { useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText, durationText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { Copy, Foreign, visible } from "../parts/text.tsx";
import { instanceName } from "../service/instance.ts";
import { change } from "../service/poll.ts";
import { DryRunText } from "./dry-run-text.tsx";
import { FilterText } from "./filter-text.tsx";
import { readHeaderLines } from "./header-lines.ts";
import type { Letters } from "./letters.ts";
import { BRIEFLY, type LettersChanged, useDryRun } from "./letters-selection.ts";
import { outcomeText } from "./outcome-text.ts";
import { rateProblem, replayCommand } from "./replay-command.ts";

interface ReplayProps {
  readonly letters: Letters;
  readonly onClose: () => void;
  readonly onDone?: () => void;
}

const PATH = "operators/dlq/replay";
const RATE = "5";

/** Tries dead letters again, after a dry run. */
export function ReplayDialog({ letters, onClose, onDone }: ReplayProps) {
  const { matched, error, selected } = useDryRun(PATH, letters);
  const [rate, setRate] = useState(RATE);
  const [headerText, setHeaderText] = useState("");
  const [pool, setPool] = useState("");
  const perSecond = Number(rate);
  const problem = rateProblem(rate);
  const { headers, problem: headerProblem } = readHeaderLines(headerText);
  const replay = async () => {
    const overrides = { ...(Object.keys(headers).length > 0 && { headers }), ...(pool !== "" && { proxy_pool: pool }) };
    const body = {
      ...letters,
      ...(rate !== "" && { rate_per_second: perSecond }),
      ...(Object.keys(overrides).length > 0 && { overrides }),
    };
    const { replayed = 0, matched: found, operation } = await change<LettersChanged>(PATH, body, BRIEFLY);
    announce(
      operation === undefined
        ? outcomeText({ verb: "Replayed", noun: "dead letter", done: replayed, asked: selected ?? matched ?? found })
        : `Operation ${operation.operation_id} replays ${countedText(found, "dead letter")} in the background.`,
    );
    onDone?.();
  };
  return (
    <Dialog title={`Replay on ${instanceName.value}`} onClose={onClose}>
      {"filter" in letters && <FilterText filter={letters.filter} />}
      <p>
        <DryRunText noun="dead letter" matched={matched} selected={selected} />
      </p>
      {error !== undefined && <ErrorText error={error} />}
      <label>
        Rate per second; empty: all at once
        <input inputMode="decimal" value={rate} onInput={({ currentTarget }) => setRate(currentTarget.value.trim())} />
      </label>
      <Problem text={problem} />
      {matched !== undefined && problem === undefined && rate !== "" && (
        <p class="faint">≈ {durationText((matched / perSecond) * 1000)}</p>
      )}
      <label>
        Headers to set, one <code>Name: value</code> a line
        <textarea rows={2} value={headerText} onInput={({ currentTarget }) => setHeaderText(currentTarget.value)} />
      </label>
      <Problem text={headerProblem} />
      <label>
        Proxy pool; empty: as before
        <input value={pool} onInput={({ currentTarget }) => setPool(currentTarget.value.trim())} />
      </label>
      {headerProblem === undefined && <Command {...replayCommand(letters, { rate, headers, pool })} />}
      <Confirm
        label={`Replay ${matched === undefined ? "" : countText(matched)}`}
        count={matched ?? 0}
        isReady={matched !== undefined && matched > 0 && problem === undefined && headerProblem === undefined}
        act={replay}
        onClose={onClose}
      />
    </Dialog>
  );
}

function Problem({ text }: { readonly text: string | undefined }) {
  if (text === undefined) return null;
  return (
    <p class="bad" role="alert">
      {text}
    </p>
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
