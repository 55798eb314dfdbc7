import { useEffect, useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { instanceName } from "../service/instance.ts";
import { change } from "../service/poll.ts";
import { dryRun, type RequestError } from "../service/service-request.ts";
import { pinned } from "../service/service-time.ts";
import { DryRunText } from "./dry-run-text.tsx";
import { FilterText } from "./filter-text.tsx";
import { outcomeText } from "./outcome-text.ts";

interface CancelProps {
  readonly selection: { readonly job_ids: readonly string[] } | { readonly filter: Readonly<Record<string, string>> };
  readonly onClose: () => void;
  readonly onDone: () => void;
}

interface Cancelled {
  readonly matched: number;
  readonly cancelled: number;
}

const PATH = "operators/jobs/cancel";

/** Cancels jobs: first it shows their number. Jobs submitted after that are not cancelled. */
export function CancelDialog({ selection, onClose, onDone }: CancelProps) {
  const [jobs] = useState(() => ("job_ids" in selection ? selection : { filter: pinned(selection.filter) }));
  const selected = "job_ids" in jobs ? jobs.job_ids.length : undefined;
  const [matched, setMatched] = useState<number>();
  const [error, setError] = useState<RequestError>();
  useEffect(() => {
    dryRun<Cancelled>(PATH, jobs).then(({ matched: count }) => setMatched(count), setError);
  }, []);
  const cancel = async () => {
    const { cancelled, matched: found } = await change<Cancelled>(PATH, jobs);
    const asked = selected ?? matched ?? found;
    announce(outcomeText({ verb: "Being cancelled", noun: "job", done: cancelled, asked }));
    onDone();
  };
  return (
    <Dialog title={`Cancel jobs on ${instanceName.value}`} onClose={onClose}>
      {"filter" in jobs && <FilterText filter={jobs.filter} />}
      <p>
        <DryRunText noun="unfinished job" matched={matched} selected={selected} /> Stored objects stay. Running
        downloads are aborted.
      </p>
      {error !== undefined && <ErrorText error={error} />}
      <Confirm
        label={matched === undefined ? "Cancel jobs" : `Cancel ${countedText(matched, "job")}`}
        count={matched ?? 0}
        isReady={matched !== undefined && matched > 0}
        act={cancel}
        onClose={onClose}
      />
    </Dialog>
  );
}
