import { useState } from "preact/hooks";
import { FilterText } from "../dialogs/filter-text.tsx";
import { announce } from "../frame/announcement.tsx";
import { hrefOf } from "../frame/location.ts";
import { Action, Confirm, Dialog } from "../parts/dialog.tsx";
import { countText, rateText } from "../parts/format.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Foreign, Status, Time } from "../parts/text.tsx";
import type { OperationRow as Operation } from "../service/answers.ts";
import { instanceName } from "../service/instance.ts";
import { change, usePoll } from "../service/poll.ts";

export function OperationsPage() {
  const poll = usePoll<{ operations: readonly Operation[] }>("operators/dlq/operations");
  return (
    <>
      <h1>Operations</h1>
      <Loaded poll={poll}>
        {({ operations }) =>
          operations.length === 0 ? (
            <Empty>
              No replay or discard by filter has run.{" "}
              <a href={hrefOf(["dead-letters"])}>Start one at the dead letters.</a>
            </Empty>
          ) : (
            <OperationsTable operations={operations} />
          )
        }
      </Loaded>
    </>
  );
}

export function OperationsTable({ operations }: { readonly operations: readonly Operation[] }) {
  const [stopping, setStopping] = useState<Operation>();
  const stop: Column<Operation> = {
    title: "Stop",
    cell: (operation) =>
      operation.status === "running" && (
        <Action needs="operator" onClick={() => setStopping(operation)}>
          Stop…
        </Action>
      ),
  };
  return (
    <>
      <Table
        caption="Operations"
        columns={[...COLUMNS, stop]}
        rows={operations}
        keyOf={({ operation_id: id }) => String(id)}
      />
      {stopping !== undefined && <StopDialog operation={stopping} onClose={() => setStopping(undefined)} />}
    </>
  );
}

const COLUMNS: readonly Column<Operation>[] = [
  { title: "#", isNumber: true, cell: ({ operation_id: id }) => id },
  { title: "Kind", cell: ({ kind }) => (kind === "give_up" ? "discard" : kind) },
  { title: "Filter", cell: ({ filter }) => <FilterText filter={filter} /> },
  {
    title: "Rate",
    isNumber: true,
    cell: ({ rate_per_second: rate }) => (rate === null ? "all at once" : `${rateText(rate)}/s`),
  },
  {
    title: "Processed / changed / matched",
    cell: ({ met, changed, matched }) => (
      <span class="progress">
        <progress max={Math.max(matched, 1)} value={met} aria-hidden="true" />
        {countText(met)} / {countText(changed)} / {countText(matched)}
      </span>
    ),
  },
  { title: "Started", cell: ({ started_at: at }) => <Time at={at} /> },
  { title: "By", cell: ({ started_by: by }) => <Foreign text={by ?? "–"} /> },
  {
    title: "State",
    cell: ({ status, error }) => (
      <>
        <Status name={status} /> {error !== null && <Foreign text={error} wide />}
      </>
    ),
  },
];

interface StopProps {
  readonly operation: Operation;
  readonly onClose: () => void;
}

function StopDialog({ operation: { operation_id: id, kind }, onClose }: StopProps) {
  const stop = async () => {
    await change(`operators/dlq/operations/${id}/stop`);
    announce(`Operation ${id} was stopped.`);
  };
  return (
    <Dialog title={`Stop operation ${id} on ${instanceName.value}`} onClose={onClose}>
      <p>
        Dead letters that it has processed stay {kind === "replay" ? "replayed" : "discarded"}. The others stay as they
        are.
      </p>
      <Confirm label="Stop the operation" count={1} act={stop} onClose={onClose} />
    </Dialog>
  );
}
