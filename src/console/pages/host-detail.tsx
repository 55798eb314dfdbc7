import { useEffect, useState } from "preact/hooks";
import { announce } from "../frame/announcement.tsx";
import { hrefOf } from "../frame/location.ts";
import { Chart, type Line } from "../parts/chart.tsx";
import { Action, Confirm, Dialog } from "../parts/dialog.tsx";
import { Fact, Facts } from "../parts/facts.tsx";
import { countText, shortCountText, wholeText } from "../parts/format.ts";
import { NO_SERIES, withSample } from "../parts/series.ts";
import { Loaded } from "../parts/states.tsx";
import { Foreign, Time } from "../parts/text.tsx";
import type { HostRow } from "../service/answers.ts";
import { now } from "../service/browser-time.ts";
import { instanceName } from "../service/instance.ts";
import { change, LIST_MS, usePoll } from "../service/poll.ts";

const TASKS: readonly Line[] = [
  { name: "waiting", label: "waiting", color: "--accent" },
  { name: "running", label: "running", color: "--good" },
];
const STORED: readonly Line[] = [{ name: "stored", label: "in 5 m", color: "--accent" }];
const COUNTS = { format: wholeText, axisFormat: shortCountText };
/** An hour of samples. */
const SAMPLING = { step: LIST_MS / 1000, samplesMax: 720 };

interface HostProps {
  readonly row: HostRow;
  readonly onChange: () => void;
}

/** Why a host is restricted, how it goes on, and the way to try it at once. */
export function HostDetail({ row, onChange }: HostProps) {
  const [isOpen, setOpen] = useState(false);
  const isRestricted = row.closed_for_ms > 0;
  return (
    <div class="host-detail">
      <Facts>
        <Fact title="Rule">
          <Foreign text={row.rule ?? "download.host (the default)"} wide />
        </Fact>
        <Fact title="Failures in a row">{row.failures_in_a_row}</Fact>
        <Fact title="Unavailable since">
          <Time at={row.unavailable_since} />
        </Fact>
        <Fact title="Starts per second">{row.rate_per_second === 0 ? "no limit" : row.rate_per_second}</Fact>
      </Facts>
      <HostCharts host={row.host} />
      <div class="actions">
        <a href={hrefOf(["downloads"], { host: row.host })}>Its downloads</a>
        <a href={hrefOf(["dead-letters"], { host: row.host })}>Its dead letters</a>
        <Action
          needs="operator"
          unless={isRestricted ? undefined : "The host is not closed."}
          onClick={() => setOpen(true)}
        >
          Try now…
        </Action>
      </div>
      {isOpen && <TryNow row={row} onChange={onChange} onClose={() => setOpen(false)} />}
    </div>
  );
}

/** The page's own samples: the service keeps no history of a host. */
function HostCharts({ host }: { readonly host: string }) {
  const poll = usePoll<HostRow>(`operators/hosts/${encodeURIComponent(host)}`);
  const [series, setSeries] = useState(NO_SERIES);
  const { data } = poll;
  useEffect(() => {
    if (data === undefined) return;
    const { waiting, running, completed_5m: stored } = data;
    setSeries((last) => withSample(last, now().getTime() / 1000, { waiting, running, stored }, SAMPLING));
  }, [data]);
  return (
    <Loaded poll={poll}>
      {() => (
        <>
          <div class="charts">
            <Chart title="Tasks" series={series} lines={TASKS} {...COUNTS} />
            <Chart title="Stored resources" series={series} lines={STORED} {...COUNTS} />
          </div>
          <p class="faint">
            The charts start when you open the row, with a sample every {LIST_MS / 1000} seconds for at most an hour.
            They have a gap while the tab is hidden.
          </p>
        </>
      )}
    </Loaded>
  );
}

function TryNow({ row: { host, waiting }, onChange, onClose }: HostProps & { readonly onClose: () => void }) {
  const reopen = async () => {
    await change(`operators/hosts/${encodeURIComponent(host)}/reopen`);
    announce(`One download now tests ${host}.`);
    onChange();
  };
  return (
    <Dialog title={`Try the host on ${instanceName.value}`} onClose={onClose}>
      <p>
        One download tests <Foreign text={host} /> now, whatever it asked for. If it answers, the other{" "}
        {countText(waiting)} tasks follow.
      </p>
      <Confirm label="Try now" count={1} act={reopen} onClose={onClose} />
    </Dialog>
  );
}
