import { useState } from "preact/hooks";
import { CancelDialog } from "../dialogs/cancel-dialog.tsx";
import { hrefOf, place, setQuery } from "../frame/location.ts";
import { Action } from "../parts/dialog.tsx";
import { KnownFilters, Since, TextField } from "../parts/fields.tsx";
import { bytesText, cappedText, countText, durationText, rateText, title } from "../parts/format.ts";
import { useFrozen, useSelection } from "../parts/frozen.ts";
import { Progress } from "../parts/progress.tsx";
import { Empty, Loaded, NewRows } from "../parts/states.tsx";
import { type Column, Pages, Table } from "../parts/table.tsx";
import { Copy, Foreign, Status, Time } from "../parts/text.tsx";
import type { JobSnapshot as Job, JobCountsAnswer } from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";
import { usePoll } from "../service/poll.ts";
import { pathWith } from "../service/service-request.ts";

const STATUSES = ["queued", "in_progress", "completed", "partial", "failed", "cancelled"];
const PAGE = 50;

const COLUMNS: readonly Column<Job>[] = [
  { title: "Status", cell: ({ status }) => <Status name={status} /> },
  {
    title: "Job",
    cell: ({ job_id: id }) => (
      <>
        <a href={hrefOf(["jobs", id])} title={id}>
          {id.slice(0, 18)}…
        </a>{" "}
        <Copy text={id} label="id" />
      </>
    ),
  },
  { title: "Type", cell: ({ job_type: type }) => <Foreign text={type} /> },
  { title: "Tenant", cell: ({ tenant }) => <Foreign text={tenant} /> },
  { title: "Priority", cell: ({ priority }) => priority },
  { title: "Progress", cell: (job) => <Progress {...job} /> },
  { title: "Stored", isNumber: true, cell: ({ bytes_stored: bytes }) => bytesText(bytes) },
  { title: "Rate · time left", isNumber: true, cell: paceOf },
  { title: "Created", cell: ({ created_at: at }) => <Time at={at} /> },
  { title: "Ended", cell: ({ completed_at: at }) => <Time at={at} /> },
];

function paceOf({ rate, eta_seconds: eta }: Job): string {
  if (rate === null) return "–";
  return eta === null ? `${rateText(rate)}/s` : `${rateText(rate)}/s · ${durationText(eta * 1000)}`;
}

const idOf = ({ job_id: id }: Job) => id;

/** The filters of the list that the address may have. */
const FILTERS = ["status", "job_type", "tenant", "id_prefix", "idempotency_key", "since", "until"];

export function JobsPage() {
  return (
    <KnownFilters known={FILTERS}>
      <JobsList />
    </KnownFilters>
  );
}

function JobsList() {
  const { cursor, ...filter } = place.value.query;
  const scope = JSON.stringify(place.value.query);
  const selection = useSelection(scope);
  const [isCancelling, setCancelling] = useState(false);
  const idProblem = problemOfId(filter);
  const path = pathWith("operators/jobs", { ...filter, errors: 0, limit: PAGE, cursor });
  const poll = usePoll<{ jobs: readonly Job[]; next_cursor: string | null }>(
    idProblem === undefined ? path : undefined,
  );
  const frozen = useFrozen(poll.data?.jobs ?? [], idOf, { scope, isSelecting: selection.keys.size > 0 });
  const chosen = selection.keys.size > 0 ? { job_ids: [...selection.keys] } : { filter };
  return (
    <>
      <div class="bar">
        <h1>Jobs</h1>
        <NewRows count={frozen.newCount} onShow={frozen.show} />
        <span class="spacer" />
        {selection.keys.size > 0 && (
          <button type="button" class="plain" onClick={selection.clear}>
            Clear the selection
          </button>
        )}
        <Action
          needs="operator"
          unless={selection.keys.size > 0 ? undefined : noCancel(filter)}
          onClick={() => setCancelling(true)}
        >
          {selection.keys.size > 0 ? `Cancel ${countText(selection.keys.size)} selected…` : "Cancel matching…"}
        </Action>
      </div>
      <StatusTabs filter={filter} />
      <Filters filter={filter} />
      {idProblem !== undefined && <Empty>{idProblem}</Empty>}
      <Loaded poll={poll}>
        {({ next_cursor: next }) => (
          <>
            {frozen.rows.length === 0 ? (
              <NoJobs isFiltered={Object.keys(filter).length > 0} />
            ) : (
              <Table
                caption="Jobs"
                columns={COLUMNS}
                rows={frozen.rows}
                keyOf={idOf}
                hrefOf={({ job_id: id }) => hrefOf(["jobs", id])}
                selection={selection}
              />
            )}
            <Pages next={next} />
          </>
        )}
      </Loaded>
      {isCancelling && (
        <CancelDialog selection={chosen} onClose={() => setCancelling(false)} onDone={selection.clear} />
      )}
    </>
  );
}

type Filter = Readonly<Record<string, string>>;

const CANCELLABLE = ["", "queued", "in_progress"];

/** The reason why the jobs of a filter cannot be cancelled. */
function noCancel({ status = "", id_prefix: id = "" }: Filter): string | undefined {
  if (!CANCELLABLE.includes(status)) return "Jobs with this status have ended.";
  return id === "" ? undefined : "Select the jobs: a cancellation by filter knows no ids.";
}

/** Why the service would refuse the id of a filter. */
function problemOfId({ id_prefix: id = "" }: Filter): string | undefined {
  const digits = id.replaceAll("-", "");
  if (id === "" || /^[\da-f]{8,32}$/i.test(digits)) return undefined;
  if (/^[\da-f]*$/i.test(digits) && digits.length < 8)
    return `The id needs its first 8 characters or more; the filter has ${digits.length}.`;
  return "The id of a job has only the digits 0 to 9, the letters a to f, and hyphens.";
}

function StatusTabs({ filter }: { readonly filter: Filter }) {
  const { job_type, tenant } = filter;
  const path = pathWith("operators/jobs/counts", { job_type, tenant });
  const { data } = usePoll<JobCountsAnswer>(refusal("read") === undefined ? path : undefined);
  const countOf = (status: string) =>
    data === undefined ? "" : ` ${cappedText(data.counts[status] ?? 0, data.capped_at)}`;
  return (
    <nav class="tabs" aria-label="Status">
      {["", ...STATUSES].map((status) => (
        <a
          key={status}
          href={hrefOf(["jobs"], { ...filter, status })}
          aria-current={status === (filter["status"] ?? "") ? "page" : undefined}
        >
          {status === "" ? "All" : title(status)}
          {status !== "" && <span class="faint">{countOf(status)}</span>}
        </a>
      ))}
    </nav>
  );
}

function Filters({ filter }: { readonly filter: Filter }) {
  return (
    <div class="filters">
      <TextField label="Type" value={filter["job_type"] ?? ""} onChange={(job_type) => setQuery({ job_type })} />
      <TextField label="Tenant" value={filter["tenant"] ?? ""} onChange={(tenant) => setQuery({ tenant })} />
      <TextField
        label="Id"
        placeholder="8+ characters"
        value={filter["id_prefix"] ?? ""}
        onChange={(id_prefix) => setQuery({ id_prefix })}
      />
      <Since value={filter["since"] ?? ""} onChange={(since) => setQuery({ since })} />
    </div>
  );
}

function NoJobs({ isFiltered }: { readonly isFiltered: boolean }) {
  if (!isFiltered) {
    return (
      <Empty>
        There are no jobs yet. <a href={hrefOf(["submit"])}>Submit some URLs.</a>
      </Empty>
    );
  }
  return (
    <Empty>
      No job matches the filter. <a href={hrefOf(["jobs"])}>Show all jobs.</a>
    </Empty>
  );
}
