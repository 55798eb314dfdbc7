import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { instanceName } from "../service/instance.ts";
import { post } from "../service/service-request.ts";
import { FilterText } from "./filter-text.tsx";
import type { Letters } from "./letters.ts";
import { BRIEFLY, type LettersChanged, useDryRun } from "./letters-selection.ts";

interface DiscardProps {
  readonly selection: Letters;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

const PATH = "operators/dlq/give-up";

/** Discards dead letters, after a dry run. */
export function DiscardDialog({ selection, onClose, onDone }: DiscardProps) {
  const { letters, matched, error } = useDryRun(PATH, selection);
  const discard = async () => {
    const { given_up: done = 0, matched: found, operation } = await post<LettersChanged>(PATH, letters, BRIEFLY);
    const gone = found - done;
    if (operation !== undefined)
      announce(`Operation ${operation.operation_id} discards ${countedText(found, "dead letter")}.`);
    else
      announce(
        `Discarded: ${countedText(done, "dead letter")}.${gone > 0 ? ` Gone already: ${countText(gone)}.` : ""}`,
      );
    onDone();
  };
  return (
    <Dialog title={`Discard on ${instanceName.value}`} onClose={onClose}>
      {"filter" in letters && <FilterText filter={letters.filter} />}
      <p>
        {matched === undefined
          ? "FetchBox counts the dead letters…"
          : `The dry run found ${countedText(matched, "dead letter")}.`}{" "}
        Their resources stay failed, and nobody can replay them any more.
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
