import { useState } from "preact/hooks";
import { hrefOf, place, setQuery } from "../frame/location.ts";
import { Choice, TextField } from "../parts/fields.tsx";
import { bytesText, countText, durationText } from "../parts/format.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { type Column, Pages, Table } from "../parts/table.tsx";
import { Foreign, Status } from "../parts/text.tsx";
import type { HostList, HostRow } from "../service/answers.ts";
import { usePoll } from "../service/poll.ts";
import { pathWith } from "../service/service-request.ts";
import { HostDetail } from "./host-detail.tsx";

const STATES = ["open", "slowed", "closed"];
const SORTS = ["waiting", "running", "failed"];
const PAGE = 50;

export function HostsPage() {
  const { state = "", q = "", sort = "waiting", cursor } = place.value.query;
  const [opened, setOpened] = useState("");
  const poll = usePoll<HostList>(pathWith("operators/hosts", { state, q, sort, limit: PAGE, cursor }));
  return (
    <>
      <h1>Hosts</h1>
      <div class="filters">
        <TextField label="Name" value={q} onChange={(value) => setQuery({ q: value })} />
        <Choice
          label="State"
          value={state}
          options={STATES}
          none="all"
          onChange={(value) => setQuery({ state: value })}
        />
        <Choice label="Most" value={sort} options={SORTS} onChange={(value) => setQuery({ sort: value })} />
      </div>
      <Loaded poll={poll}>
        {({ hosts, next_cursor: next }) => (
          <>
            {hosts.length === 0 ? (
              <Empty>No host matches. A host appears here with its first task.</Empty>
            ) : (
              <Table
                caption="Hosts"
                columns={[hostColumn(opened, setOpened), ...COLUMNS]}
                rows={hosts}
                keyOf={({ host }) => host}
                detail={(row) => row.host === opened && <HostDetail row={row} onChange={poll.refresh} />}
              />
            )}
            <Pages next={next} />
          </>
        )}
      </Loaded>
    </>
  );
}

function hostColumn(opened: string, open: (host: string) => void): Column<HostRow> {
  return {
    title: "Host",
    cell: ({ host }) => (
      <button
        type="button"
        class="plain"
        aria-expanded={host === opened}
        onClick={() => open(host === opened ? "" : host)}
      >
        {host === opened ? "▴" : "▾"} <Foreign text={host} />
      </button>
    ),
  };
}

const COLUMNS: readonly Column<HostRow>[] = [
  { title: "State", cell: HostState },
  { title: "Waiting", isNumber: true, cell: ({ waiting }) => countText(waiting) },
  {
    title: "Run / limit",
    isNumber: true,
    cell: ({ running, limit, configured_limit: configured }) =>
      `${running}/${limit}${limit === configured ? "" : ` (${configured})`}`,
  },
  {
    title: "Done / failed, 5 m",
    isNumber: true,
    cell: ({ completed_5m: done, failed_5m: failed }) => `${countText(done)} / ${countText(failed)}`,
  },
  { title: "Bytes, 5 m", isNumber: true, cell: ({ bytes_5m: bytes }) => bytesText(bytes) },
  {
    title: "Dead letters",
    isNumber: true,
    cell: ({ host, dead_letters: dead }) =>
      dead === 0 ? "0" : <a href={hrefOf(["dead-letters"], { host })}>{countText(dead)}</a>,
  },
];

function HostState({ state, closed_for_ms: closed }: HostRow) {
  return <Status name={state}>{`${state}${closed > 0 ? ` ${durationText(closed)}` : ""}`}</Status>;
}
