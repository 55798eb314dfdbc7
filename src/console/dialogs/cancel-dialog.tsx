import { useEffect, useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { Confirm, Dialog } from "../parts/dialog.tsx";
import { countedText, countText } from "../parts/format.ts";
import { ErrorText } from "../parts/states.tsx";
import { now } from "../service/browser-time.ts";
import { instanceName } from "../service/instance.ts";
import { post, type RequestError } from "../service/service-request.ts";
import { FilterText } from "./filter-text.tsx";

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
  const [pinned] = useState(() => pin(selection));
  const [matched, setMatched] = useState<number>();
  const [error, setError] = useState<RequestError>();
  useEffect(() => {
    post<Cancelled>(PATH, { ...pinned, dry_run: true }).then(({ matched: count }) => setMatched(count), setError);
  }, []);
  const cancel = async () => {
    const { cancelled, matched: found } = await post<Cancelled>(PATH, pinned);
    const gone = found - cancelled;
    announce(
      `Being cancelled: ${countedText(cancelled, "job")}.${gone > 0 ? ` Ended or being cancelled already: ${countText(gone)}.` : ""}`,
    );
    onDone();
  };
  return (
    <Dialog title={`Cancel jobs on ${instanceName.value}`} onClose={onClose}>
      {"filter" in pinned && <FilterText filter={pinned.filter} />}
      <p>
        {matched === undefined
          ? "FetchBox counts the jobs…"
          : `The dry run found ${countedText(matched, "unfinished job")}.`}{" "}
        Stored objects stay. Running downloads are aborted.
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

function pin(selection: CancelProps["selection"]): CancelProps["selection"] {
  if ("job_ids" in selection) return selection;
  const { until = now().toISOString() } = selection.filter;
  return { filter: { ...selection.filter, until } };
}
