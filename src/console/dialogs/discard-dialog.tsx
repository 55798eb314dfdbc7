import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { instanceName } from "../service/instance.ts";
import { change } from "../service/poll.ts";
import { DryRunText } from "./dry-run-text.tsx";
import { FilterText } from "./filter-text.tsx";
import type { Letters } from "./letters.ts";
import { BRIEFLY, type LettersChanged, useDryRun } from "./letters-selection.ts";
import { outcomeText } from "./outcome-text.ts";

interface DiscardProps {
  readonly letters: Letters;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const PATH = "operators/dlq/give-up";

/** Discards dead letters, after a dry run. */
export function DiscardDialog({ letters, onClose, onDone }: DiscardProps) {
  const { matched, error, selected } = useDryRun(PATH, letters);
  const discard = async () => {
    const { given_up: done = 0, matched: found, operation } = await change<LettersChanged>(PATH, letters, BRIEFLY);
    if (operation !== undefined)
      announce(`Operation ${operation.operation_id} discards ${countedText(found, "dead letter")}.`);
    else announce(outcomeText({ verb: "Discarded", noun: "dead letter", done, asked: selected ?? matched ?? found }));
    onDone();
  };
  return (
    <Dialog title={`Discard on ${instanceName.value}`} onClose={onClose}>
      {"filter" in letters && <FilterText filter={letters.filter} />}
      <p>
        <DryRunText noun="dead letter" matched={matched} selected={selected} /> Their resources stay failed, and nobody
        can replay them any more.
      </p>
      {error !== undefined && <ErrorText error={error} />}
      <Confirm
        label={`Discard ${matched === undefined ? "" : countText(matched)}`}
        count={matched ?? 0}
        isReady={matched !== undefined && matched > 0}
        act={discard}
        onClose={onClose}
      />
    </Dialog>
  );
}
