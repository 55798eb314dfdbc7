import { useState } from "preact/hooks";
import { DiscardDialog } from "../dialogs/discard-dialog.tsx";
import type { Letters } from "../dialogs/letters.ts";
import { ReplayDialog } from "../dialogs/replay-dialog.tsx";
import { announceFailure } from "../frame/announcement.tsx";
import { hrefOf, place, setQuery } from "../frame/location.ts";
import { Action } from "../parts/dialog.tsx";
import { Choice, KnownFilters, Since, TextField } from "../parts/fields.tsx";
import { countText } from "../parts/format.ts";
import { useFrozen, useSelection } from "../parts/frozen.ts";
import { Empty, Loaded, NewRows } from "../parts/states.tsx";
import { type Column, Pages, Table } from "../parts/table.tsx";
import { Copy, Foreign, Time } from "../parts/text.tsx";
import type { Analysis, DeadLetterRow } from "../service/answers.ts";
import { usePinnedAnalysis } from "../service/pinned-analysis.ts";
import { type Polled, usePoll } from "../service/poll.ts";
import { pathWith, save } from "../service/service-request.ts";

const GROUPINGS = ["code", "host", "job_type", "day"];
/** The filters of the list that the address may have. */
const FILTERS = ["code", "host", "job_type", "tenant", "job_id", "since", "until"];
const PAGE = 50;
const SAMPLE_ID = "019ab2f4-7c1e-7d3a-9b52-4f6c1d2e3f00";
const GROUPS_MAX = 20;

const COLUMNS: readonly Column<DeadLetterRow>[] = [
  { title: "Failed", cell: ({ failed_at: at }) => <Time at={at} /> },
  { title: "Code", cell: ({ failure_code: code }) => <code>{code}</code> },
  { title: "Host", cell: ({ url }) => <Foreign text={URL.parse(url)?.host ?? "–"} /> },
  {
    title: "Resource",
    cell: ({ task_id: task, resource_id: id }) => (
      <a href={hrefOf(["dead-letters", String(task)])}>
        <Foreign text={id} />
      </a>
    ),
  },
  { title: "Tries", isNumber: true, cell: ({ attempts }) => attempts },
  { title: "Job", cell: ({ job_id: id }) => <a href={hrefOf(["jobs", id])}>{id.slice(0, 13)}…</a> },
  { title: "Message", cell: ({ failure_message: message }) => <Foreign text={message} wide /> },
];

const idOf = ({ task_id: task }: DeadLetterRow) => String(task);

export function DeadLettersPage() {
  return (
    <KnownFilters known={["by", ...FILTERS]}>
      <DeadLettersList />
    </KnownFilters>
  );
}

function DeadLettersList() {
  const { cursor, by = "code", ...filter } = place.value.query;
  const scope = JSON.stringify({ cursor, ...filter });
  const selection = useSelection(scope);
  const filterProblem = problemOfFilter(filter);
  const path = pathWith("operators/dlq", { ...filter, limit: PAGE, cursor });
  const list = usePoll<{ entries: readonly DeadLetterRow[]; next_cursor: string | null }>(
    filterProblem === undefined ? path : undefined,
  );
  const analysis = usePinnedAnalysis(filterProblem === undefined ? filter : undefined, by);
  const problem = filterProblem ?? uncounted(analysis);
  const frozen = useFrozen(list.data?.entries ?? [], idOf, { scope, isSelecting: selection.keys.size > 0 });
  const isSelecting = selection.keys.size > 0;
  const { data } = analysis;
  return (
    <>
      <div class="bar">
        <h1>Dead letters</h1>
        <NewRows count={frozen.newCount} onShow={frozen.show} />
        <span class="spacer" />
        {isSelecting && (
          <button type="button" class="plain" onClick={selection.clear}>
            Clear the selection
          </button>
        )}
        <LetterActions
          letters={isSelecting ? { task_ids: [...selection.keys].map(Number) } : data && { filter: data.pinned }}
          count={isSelecting ? selection.keys.size : data?.total}
          problem={problem}
          onDone={selection.clear}
        />
        <Copy text={`${location.origin}${hrefOf(["dead-letters"], place.value.query)}`} label="address" />
        <SaveAll filter={filter} problem={problem} />
      </div>
      <Groups by={by} filter={filter} poll={withoutErrorOf(analysis, list)} />
      <Filters filter={filter} />
      {filterProblem !== undefined && <Empty>{filterProblem}</Empty>}
      <Loaded poll={list}>
        {({ next_cursor: next }) => (
          <>
            {frozen.rows.length === 0 ? (
              <NoLetters isFiltered={Object.keys(filter).length > 0} />
            ) : (
              <Table
                caption="Dead letters"
                columns={COLUMNS}
                rows={frozen.rows}
                keyOf={idOf}
                hrefOf={({ task_id: task }) => hrefOf(["dead-letters", String(task)])}
                selection={selection}
              />
            )}
            <Pages next={next} />
          </>
        )}
      </Loaded>
      {list.error?.status === 400 && (
        <Empty>
          The address has a value that the service refuses.{" "}
          <a href={hrefOf(["dead-letters"])}>Show all dead letters.</a>
        </Empty>
      )}
    </>
  );
}

/** The reason why there is no number of dead letters, although the service has answered. */
export function uncounted({ data, error }: Pick<Polled<Analysis>, "data" | "error">): string | undefined {
  return data === undefined && error !== undefined ? `The dead letters are not counted: ${error.message}` : undefined;
}

/** A poll without an error that the page shows at another poll. */
function withoutErrorOf<T>(poll: Polled<T>, shown: Polled<unknown>): Polled<T> {
  return poll.error?.message === shown.error?.message ? { ...poll, error: undefined } : poll;
}

/** Saves all dead letters of the filter, one a line. */
function SaveAll({ filter, problem }: { readonly filter: Filter; readonly problem: string | undefined }) {
  const saveAll = () =>
    announceFailure(() => save(pathWith("operators/dlq", filter), "application/x-ndjson", "dead-letters.ndjson"));
  return (
    <button
      type="button"
      class="plain"
      title={problem ?? "Save all that match, one a line"}
      disabled={problem !== undefined}
      onClick={() => void saveAll()}
    >
      NDJSON
    </button>
  );
}

type Kind = "replay" | "discard";

interface LetterActionsProps {
  /** `undefined` while the service counts them. */
  readonly letters: Letters | undefined;
  readonly count: number | undefined;
  /** The reason why there is no number of them. */
  readonly problem?: string | undefined;
  readonly onDone: () => void;
}

/** Buttons that replay or discard. The dialog keeps the selection that it was opened with. */
export function LetterActions({ letters, count, problem, onDone }: LetterActionsProps) {
  const [opened, setOpened] = useState<{ kind: Kind; letters: Letters }>();
  const close = () => setOpened(undefined);
  const unless = problem ?? (letters === undefined ? "FetchBox counts the dead letters." : noneMatches(count));
  const open = (kind: Kind) => letters && setOpened({ kind, letters });
  const number = count === undefined ? "" : ` ${countText(count)}`;
  return (
    <>
      <Action needs="operator" unless={unless} onClick={() => open("replay")}>
        Replay{number}…
      </Action>
      <Action needs="operator" unless={unless} onClick={() => open("discard")}>
        Discard{number}…
      </Action>
      {opened?.kind === "replay" && <ReplayDialog letters={opened.letters} onClose={close} onDone={onDone} />}
      {opened?.kind === "discard" && <DiscardDialog letters={opened.letters} onClose={close} onDone={onDone} />}
    </>
  );
}

function noneMatches(count: number | undefined): string | undefined {
  return count === 0 ? "No dead letter matches." : undefined;
}

type Filter = Readonly<Record<string, string>>;

const JOB_ID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** The reason why the service would refuse the filter, with the field and the value that it needs. */
function problemOfFilter({ job_id: id = "" }: Filter): string | undefined {
  if (id === "" || JOB_ID.test(id)) return undefined;
  return `The filter Job needs the whole id of a job, like ${SAMPLE_ID}. The page Jobs lists the ids.`;
}

interface GroupsProps {
  readonly by: string;
  readonly filter: Filter;
  readonly poll: Polled<Analysis>;
}

function Groups({ by, filter, poll }: GroupsProps) {
  return (
    <section>
      <div class="filters">
        <Choice label="Group by" value={by} options={GROUPINGS} onChange={(value) => setQuery({ by: value })} />
      </div>
      <Loaded poll={poll}>
        {({ groups }) =>
          groups.length > 0 && (
            <Table
              caption="Groups of dead letters"
              columns={groupColumns(by, filter, groups[0]?.count ?? 1)}
              rows={groups.slice(0, GROUPS_MAX)}
              keyOf={({ key }) => key}
            />
          )
        }
      </Loaded>
    </section>
  );
}

function groupColumns(by: string, filter: Filter, largest: number): readonly Column<Analysis["groups"][number]>[] {
  return [
    {
      title: "Group",
      cell: ({ key }) => (
        <a href={hrefOf(["dead-letters"], { ...filter, by, ...filterOfGroup(by, key) })}>
          <Foreign text={key} />
        </a>
      ),
    },
    {
      title: "Count",
      cell: ({ count }) => (
        <span class="progress">
          <progress max={largest} value={count} aria-hidden="true" />
          {countText(count)}
        </span>
      ),
    },
    { title: "First", cell: ({ first_seen: at }) => <Time at={at} /> },
    { title: "Last", cell: ({ last_seen: at }) => <Time at={at} /> },
    {
      title: "Sample",
      cell: ({ sample_task_id: task }) => <a href={hrefOf(["dead-letters", String(task)])}>task {task}</a>,
    },
  ];
}

function filterOfGroup(by: string, key: string): Filter {
  if (by !== "day") return { [by]: key };
  const start = Date.parse(`${key}T00:00:00Z`);
  return { since: new Date(start).toISOString(), until: new Date(start + 86_400_000).toISOString() };
}

const FIELDS: readonly (readonly [string, string])[] = [
  ["code", "Code"],
  ["host", "Host"],
  ["job_type", "Type"],
  ["tenant", "Tenant"],
  ["job_id", "Job"],
];

function Filters({ filter }: { readonly filter: Filter }) {
  return (
    <div class="filters">
      {FIELDS.map(([name, label]) => (
        <TextField
          key={name}
          label={label}
          value={filter[name] ?? ""}
          onChange={(value) => setQuery({ [name]: value })}
        />
      ))}
      <Since value={filter["since"] ?? ""} onChange={(since) => setQuery({ since })} />
      {filter["until"] !== undefined && (
        <button type="button" class="chip" onClick={() => setQuery({ until: undefined })}>
          until {filter["until"]} ×
        </button>
      )}
    </div>
  );
}

function NoLetters({ isFiltered }: { readonly isFiltered: boolean }) {
  if (!isFiltered) return <Empty>There are no dead letters: no resource has failed for good.</Empty>;
  return (
    <Empty>
      No dead letter matches the filter. <a href={hrefOf(["dead-letters"])}>Show all dead letters.</a>
    </Empty>
  );
}
