import { useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { place } from "../frame/location.ts";
import { Action, Confirm, Dialog } from "../parts/dialog.tsx";
import { bytesText, countText, durationText, percentText } from "../parts/format.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { type Column, Pages, Table } from "../parts/table.tsx";
import { Foreign, Status, Time } from "../parts/text.tsx";
import type {
  ActivityEntry,
  ActivityList,
  ConfigList,
  ConfigValue,
  HealthAnswer,
  Overview,
} from "../service/answers.ts";
import { refusal } from "../service/browser-session.ts";
import { instanceName } from "../service/instance.ts";
import { change, type Polled, usePoll } from "../service/poll.ts";
import { pathWith } from "../service/service-request.ts";

const PAGE = 50;
const CONFIG_MS = 60_000;

export function SystemPage({ poll }: { readonly poll: Polled<Overview> }) {
  return (
    <>
      <div class="bar">
        <h1>System</h1>
        <span class="spacer" />
        <Pause />
      </div>
      <Health />
      <Stores poll={poll} />
      <Activity />
      <Configuration />
    </>
  );
}

function Pause() {
  const [isOpen, setOpen] = useState(false);
  const pause = async () => {
    await change("operators/queue/pause");
    announce("The queue is paused. Running downloads finish.");
  };
  return (
    <>
      <Action needs="operator" onClick={() => setOpen(true)}>
        Pause the queue…
      </Action>
      {isOpen && (
        <Dialog title={`Pause ${instanceName.value}`} onClose={() => setOpen(false)}>
          <p>No download starts until somebody resumes the queue, also after a restart. Running downloads finish.</p>
          <Confirm label="Pause the queue" count={1} act={pause} onClose={() => setOpen(false)} />
        </Dialog>
      )}
    </>
  );
}

function Health() {
  const poll = usePoll<HealthAnswer>("operators/health");
  return (
    <section>
      <h2>Health</h2>
      <Loaded poll={poll}>
        {({ status, components, version, uptime_seconds: uptime }) => (
          <>
            <p>
              <Status name={status} /> FetchBox {version}, running for {durationText(uptime * 1000)}.
            </p>
            <Table
              caption="Components"
              columns={COMPONENTS}
              rows={Object.entries(components)}
              keyOf={([name]) => name}
            />
          </>
        )}
      </Loaded>
    </section>
  );
}

const COMPONENTS: readonly Column<[string, HealthAnswer["components"][string]]>[] = [
  { title: "Component", cell: ([name]) => name },
  { title: "Health", cell: ([, { status }]) => <Status name={status} /> },
  { title: "Reason", cell: ([, { reason = "–" }]) => <Foreign text={reason} wide /> },
];

type StoreRow = Overview["stores"][number];

/** The sizes of the stores and their disks. The service leaves out stores that are not files on its machine. */
function Stores({ poll }: { readonly poll: Polled<Overview> }) {
  if (poll.data?.stores.length === 0) return null;
  return (
    <section>
      <h2>Stores and disk</h2>
      <Loaded poll={poll}>
        {({ stores }) => (
          <Table caption="Stores and disk" columns={STORES} rows={stores} keyOf={({ store }) => store} />
        )}
      </Loaded>
    </section>
  );
}

const STORES: readonly Column<StoreRow>[] = [
  { title: "Store", cell: ({ store }) => store },
  { title: "Size", isNumber: true, cell: ({ bytes }) => (bytes === null ? "–" : bytesText(bytes)) },
  { title: "Free on its disk", isNumber: true, cell: freeText },
  { title: "Disk", cell: ({ disk }) => (disk === null ? "–" : <Status name={disk}>{DISK_TEXTS[disk]}</Status>) },
];

const DISK_TEXTS = { ok: "ok", low: "⚠ less than 2 GB free", full: "⚠ full" } as const;

function freeText({ disk_free_bytes: free, disk_total_bytes: total }: StoreRow): string {
  if (free === null) return "–";
  if (total === null || total === 0) return bytesText(free);
  return `${bytesText(free)} of ${bytesText(total)} (${percentText(free / total)})`;
}

function Activity() {
  const { cursor } = place.value.query;
  const poll = usePoll<ActivityList>(pathWith("operators/activity", { limit: PAGE, cursor }));
  return (
    <section>
      <h2>Activity of operators</h2>
      <Loaded poll={poll}>
        {({ entries, next_cursor: next }) => (
          <>
            {entries.length === 0 ? (
              <Empty>No operator has changed anything yet.</Empty>
            ) : (
              <Table
                caption="Activity"
                columns={ACTIVITY}
                rows={entries}
                keyOf={({ at, request_id: id }) => `${at} ${id}`}
              />
            )}
            <Pages next={next} />
          </>
        )}
      </Loaded>
    </section>
  );
}

const ACTIVITY: readonly Column<ActivityEntry>[] = [
  { title: "Time", cell: ({ at }) => <Time at={at} /> },
  { title: "Token", cell: ({ token }) => <Foreign text={token ?? "–"} /> },
  { title: "Action", cell: ({ action }) => <Foreign text={action} /> },
  { title: "Target", cell: ({ target }) => <Foreign text={target ?? "–"} wide /> },
  { title: "Count", isNumber: true, cell: ({ count }) => (count === null ? "–" : countText(count)) },
  { title: "Request", cell: ({ request_id: id }) => <Foreign text={id} /> },
];

function Configuration() {
  const reason = refusal("operator");
  const poll = usePoll<ConfigList>(reason === undefined ? "operators/config" : undefined, CONFIG_MS);
  return (
    <section>
      <h2>Configuration</h2>
      {reason !== undefined && <Empty>{reason}</Empty>}
      <Loaded poll={poll}>
        {({ values }) => <Table caption="Configuration" columns={CONFIG} rows={values} keyOf={({ key }) => key} />}
      </Loaded>
    </section>
  );
}

const CONFIG: readonly Column<ConfigValue>[] = [
  { title: "Key", cell: ({ key }) => <code>{key}</code> },
  { title: "Value", cell: ({ value }) => <Foreign text={JSON.stringify(value)} wide /> },
  { title: "Source", cell: ({ source }) => <Status name={source} /> },
];
