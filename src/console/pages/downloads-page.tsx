import { hrefOf, place, setQuery } from "../frame/location.ts";
import { Choice, TextField } from "../parts/fields.tsx";
import { bytesText, countText, durationText } from "../parts/format.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { type Column, Table } from "../parts/table.tsx";
import { Foreign, Status } from "../parts/text.tsx";
import type { DownloadList, DownloadRow } from "../service/answers.ts";
import { usePoll } from "../service/poll.ts";
import { pathWith } from "../service/service-request.ts";
import { serviceNow } from "../service/service-time.ts";

const SORTS = ["slowest", "oldest", "largest"];
const ROWS_MAX = 200;

const COLUMNS: readonly Column<DownloadRow>[] = [
  { title: "Host", cell: ({ host }) => <Foreign text={host} /> },
  { title: "Resource", cell: ({ resource_id: id }) => <Foreign text={id} /> },
  { title: "Job", cell: ({ job_id: id }) => <a href={hrefOf(["jobs", id])}>{id.slice(0, 13)}…</a> },
  { title: "Stage", cell: ({ stage }) => <Status name={stage} /> },
  { title: "Bytes / total", cell: Received },
  { title: "Speed", isNumber: true, cell: ({ bytes_per_second: speed }) => `${bytesText(speed)}/s` },
  {
    title: "For",
    isNumber: true,
    cell: ({ started_at: at }) => durationText(Math.max(serviceNow().getTime() - Date.parse(at), 0)),
  },
  { title: "Try", isNumber: true, cell: ({ attempt }) => attempt },
  { title: "Via", cell: ({ proxy, address }) => <Foreign text={proxy ?? address ?? "–"} /> },
];

export function DownloadsPage() {
  const { sort = "slowest", host = "", job_id: job = "" } = place.value.query;
  const poll = usePoll<DownloadList>(pathWith("operators/downloads", { sort, host, job_id: job, limit: ROWS_MAX }));
  return (
    <>
      <div class="bar">
        <h1>Downloads</h1>
        {poll.data !== undefined && <span class="faint">{totalText(poll.data)}</span>}
      </div>
      <div class="filters">
        <TextField label="Host" value={host} onChange={(value) => setQuery({ host: value })} />
        <TextField label="Job" value={job} onChange={(value) => setQuery({ job_id: value })} />
        <Choice label="First" value={sort} options={SORTS} onChange={(value) => setQuery({ sort: value })} />
      </div>
      <Loaded poll={poll}>
        {({ downloads }) =>
          downloads.length === 0 ? (
            <Empty>
              No download runs now. <a href={hrefOf(["hosts"])}>The hosts</a> show what tasks wait for.
            </Empty>
          ) : (
            <Table
              caption="Running downloads"
              columns={COLUMNS}
              rows={downloads}
              keyOf={({ task_id: task }) => String(task)}
              hrefOf={({ job_id: id }) => hrefOf(["jobs", id])}
            />
          )
        }
      </Loaded>
    </>
  );
}

function totalText({ total, downloads }: DownloadList): string {
  const speed = downloads.reduce((sum, row) => sum + row.bytes_per_second, 0);
  return `${countText(total)} run at ${bytesText(speed)}/s in all`;
}

function Received({ bytes, bytes_total: total }: DownloadRow) {
  return (
    <span class="progress">
      {total !== null && <progress max={Math.max(total, 1)} value={bytes} aria-hidden="true" />}
      {bytesText(bytes)}
      {total !== null && ` / ${bytesText(total)}`}
    </span>
  );
}
