import { useState } from "preact/hooks";
import { place, setQuery } from "../../frame/location.ts";
import { Attempts } from "../../parts/attempts.tsx";
import { Choice } from "../../parts/fields.tsx";
import { bytesText, durationText } from "../../parts/format.ts";
import { Empty, Loaded } from "../../parts/states.tsx";
import { type Column, Pages, Table } from "../../parts/table.tsx";
import { Foreign, Status, Url } from "../../parts/text.tsx";
import type { ResourceRow } from "../../service/answers.ts";
import { LIST_MS, usePoll } from "../../service/poll.ts";
import { pathWith } from "../../service/service-request.ts";

const STATES = ["pending", "running", "retrying", "completed", "failed", "cancelled"];
const PAGE = 50;
/** The resources of an ended job change only by a replay. */
const ENDED_MS = 30_000;

interface ResourceListAnswer {
  readonly resources: readonly ResourceRow[];
  readonly next_cursor: string | null;
}

export function JobResources({ id, isEnded }: { readonly id: string; readonly isEnded: boolean }) {
  const { state = "", cursor } = place.value.query;
  const [opened, setOpened] = useState("");
  const path = pathWith(`operators/jobs/${id}/resources`, { state, limit: PAGE, cursor });
  const poll = usePoll<ResourceListAnswer>(path, isEnded ? ENDED_MS : LIST_MS);
  const attempts: Column<ResourceRow> = {
    title: "Tries",
    isNumber: true,
    cell: (row) => <Tries row={row} isOpen={row.resource_id === opened} onToggle={setOpened} />,
  };
  return (
    <>
      <div class="filters">
        <Choice
          label="State"
          value={state}
          options={STATES}
          none="all"
          onChange={(value) => setQuery({ state: value })}
        />
      </div>
      <Loaded poll={poll}>
        {({ resources, next_cursor: next }) => (
          <>
            {resources.length === 0 ? (
              <Empty>No resource is in this state.</Empty>
            ) : (
              <Table
                caption="Resources"
                columns={[...COLUMNS, attempts, ...RESULT]}
                rows={resources}
                keyOf={({ resource_id: resource }) => resource}
                detail={(row) => row.resource_id === opened && <Attempts history={row.history} />}
              />
            )}
            <Pages next={next} />
          </>
        )}
      </Loaded>
    </>
  );
}

const COLUMNS: readonly Column<ResourceRow>[] = [
  { title: "State", cell: ({ state }) => <Status name={state} /> },
  { title: "Resource", cell: ({ resource_id: id }) => <Foreign text={id} /> },
  { title: "URL → final URL", cell: Urls },
  { title: "HTTP", isNumber: true, cell: ({ http_status: status }) => status ?? "–" },
  { title: "Size", isNumber: true, cell: ({ bytes }) => (bytes === null ? "–" : bytesText(bytes)) },
];
const RESULT: readonly Column<ResourceRow>[] = [
  { title: "Integrity", cell: ({ integrity }) => (integrity === null ? "–" : <Status name={integrity} />) },
  {
    title: "Object or error",
    cell: ({ storage_key: key, error }) => (
      <Foreign text={error === null ? (key ?? "–") : `${error.code}: ${error.message}`} />
    ),
  },
  { title: "Took", isNumber: true, cell: ({ started_at: start, finished_at: end }) => tookText(start, end) },
];

function Urls({ url, final_url: final }: ResourceRow) {
  return (
    <>
      <Url url={url} />
      {final !== null && final !== url && (
        <>
          {" → "}
          <Url url={final} />
        </>
      )}
    </>
  );
}

function tookText(start: string | null, end: string | null): string {
  return start === null || end === null ? "–" : durationText(Math.max(Date.parse(end) - Date.parse(start), 0));
}

interface TriesProps {
  readonly row: ResourceRow;
  readonly isOpen: boolean;
  readonly onToggle: (id: string) => void;
}

function Tries({ row: { resource_id: id, attempts, history }, isOpen, onToggle }: TriesProps) {
  if (history.length === 0) return <>{attempts}</>;
  return (
    <button type="button" class="plain" aria-expanded={isOpen} onClick={() => onToggle(isOpen ? "" : id)}>
      {attempts} {isOpen ? "▴" : "▾"}
    </button>
  );
}
