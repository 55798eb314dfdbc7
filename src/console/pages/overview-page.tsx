import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { hrefOf, place, setQuery } from "../frame/location.ts";
import { Chart, type Line } from "../parts/chart.tsx";
import { Choice } from "../parts/fields.tsx";
import { bytesText, countText, durationText, rateText, shortCountText, wholeText } from "../parts/format.ts";
import type { Series } from "../parts/series.ts";
import { Empty, Loaded } from "../parts/states.tsx";
import { Copy, Foreign, Status, Time } from "../parts/text.tsx";
import type { Attention, HostList, JobSnapshot, Overview, RatesAnswer } from "../service/answers.ts";
import { curlOf } from "../service/curl-command.ts";
import { type Polled, usePoll } from "../service/poll.ts";
import { pathWith, SERVICE_PATH } from "../service/service-request.ts";
import { OperationsTable } from "./operations-page.tsx";

const RESULTS: readonly Line[] = [
  { name: "completed", label: "stored", color: "--good" },
  { name: "failed", label: "failed", color: "--bad" },
  { name: "retried", label: "retried", color: "--warn" },
];
const BYTES: readonly Line[] = [{ name: "bytes", label: "bytes/s", color: "--accent" }];
const QUEUE: readonly Line[] = [
  { name: "pending", label: "pending", color: "--accent" },
  { name: "retrying", label: "retrying", color: "--warn" },
  { name: "running", label: "running", color: "--good" },
];
const WINDOWS = ["15m", "1h", "24h"];

export function OverviewPage({ poll }: { readonly poll: Polled<Overview> }) {
  return (
    <Loaded poll={poll}>
      {(overview) => (
        <>
          <h1 class="hidden">Overview</h1>
          <Figures {...overview} />
          {isUnused(overview) && <FirstRun />}
          <NeedsAttention items={overview.attention} />
          <Charts />
          <div class="grid">
            <BusiestHosts />
            <ByCode {...overview.dead_letters} />
            <FailedJobs />
            {overview.operations.length > 0 && (
              <Section title="Running operations" href={hrefOf(["operations"])} isWhole>
                <OperationsTable operations={overview.operations} />
              </Section>
            )}
          </div>
        </>
      )}
    </Loaded>
  );
}

function Figures({ rates, workers, queue, drain_seconds: drain, dead_letters: dead }: Overview) {
  const per = (sum: number) => sum / rates.window_seconds;
  const backlog = queue.pending + queue.retrying;
  return (
    <ul class="figures">
      <Figure value={rateText(per(rates.completed))} unit="files/s" />
      <Figure value={bytesText(per(rates.bytes))} unit="per second" />
      <Figure value={`${workers.busy}/${workers.total}`} unit="workers busy" />
      <Figure
        value={countText(backlog)}
        unit={drain === null || backlog === 0 ? "tasks wait" : `wait ≈ ${durationText(drain * 1000)}`}
      />
      <Figure value={durationText(queue.oldest_pending_age_ms)} unit="oldest due" />
      <Figure value={countText(dead.total)} unit={`dead letters (+${countText(dead.last_hour)}/h)`} />
    </ul>
  );
}

function Figure({ value, unit }: { readonly value: string; readonly unit: string }) {
  return (
    <li>
      <strong>{value}</strong> {unit}
    </li>
  );
}

function isUnused({ jobs, queue }: Overview): boolean {
  return Object.values(jobs).every((count) => count === 0) && queue.pending + queue.running + queue.retrying === 0;
}

/** The first steps: how to submit a job. */
function FirstRun() {
  const body = `{"manifest_version":"v1","resources":[{"id":"a.jpg","url":"https://example.com/a.jpg"}]}`;
  const curl = curlOf("jobs", `-H 'Content-Type: application/json' -d '${body}'`);
  return (
    <Empty>
      <p>
        There are no jobs yet. <a href={hrefOf(["submit"])}>Submit URLs here</a>, or from a shell:
      </p>
      <pre>{curl}</pre>
      <Copy text={curl} label="curl command" />
    </Empty>
  );
}

function NeedsAttention({ items }: { readonly items: readonly Attention[] }) {
  if (items.length === 0) return null;
  return (
    <Section title="Needs attention">
      <ul class="attention">
        {items.map((item) => (
          <li key={`${item.kind} ${item.text}`}>
            <Status name={item.severity} />{" "}
            <a {...ownHref(item.href)}>
              <Foreign text={item.text} wide />
            </a>
            {item.since !== null && (
              <span class="faint">
                {" since "}
                <Time at={item.since} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** The link to a page of the console; a router may put a prefix before its path. */
function ownHref(href: string | null): { href?: string } {
  return href !== null && /^\/console(\/|\?|$)/.test(href) ? { href: `${SERVICE_PATH}${href.slice(1)}` } : {};
}

function Charts() {
  const window = place.value.query["window"] ?? "1h";
  const poll = usePoll<RatesAnswer>(pathWith("operators/rates", { window }));
  return (
    <section>
      <div class="bar">
        <h2>Rates</h2>
        <Choice label="Window" value={window} options={WINDOWS} onChange={(value) => setQuery({ window: value })} />
      </div>
      <Loaded poll={poll}>{(rates) => <RateCharts rates={rates} />}</Loaded>
    </section>
  );
}

function RateCharts({ rates }: { readonly rates: RatesAnswer }) {
  const { step_seconds: step } = rates;
  const series = useMemo(() => seriesOf(rates), [rates]);
  return (
    <div class="charts">
      <Chart title="Resources per second" series={series} lines={RESULTS} divisor={step} format={rateText} />
      <Chart title="Bytes per second" series={series} lines={BYTES} divisor={step} format={bytesText} />
      <Chart title="Tasks" series={series} lines={QUEUE} format={wholeText} axisFormat={shortCountText} />
    </div>
  );
}

function seriesOf({ from, step_seconds: step, series }: RatesAnswer): Series {
  const start = Date.parse(from) / 1000;
  const [first = []] = Object.values(series);
  return { times: first.map((_, at) => start + at * step), values: series };
}

function BusiestHosts() {
  const poll = usePoll<HostList>(pathWith("operators/hosts", { sort: "waiting", limit: 8 }));
  return (
    <Section title="Busiest hosts" href={hrefOf(["hosts"])}>
      <Loaded poll={poll}>
        {({ hosts }) => (
          <Shares
            empty="No task waits for a host."
            rows={hosts.map(({ host, waiting, running, state }) => ({
              key: host,
              href: hrefOf(["hosts"], { q: host }),
              count: waiting,
              text: `${countText(waiting)} waiting · ${countText(running)} running`,
              note: state === "open" ? "" : state,
            }))}
          />
        )}
      </Loaded>
    </Section>
  );
}

function ByCode({ by_code: codes }: Overview["dead_letters"]) {
  return (
    <Section title="Dead letters by code" href={hrefOf(["dead-letters"])}>
      <Shares
        empty="There are no dead letters."
        rows={codes.map(({ key, count }) => ({
          key,
          href: hrefOf(["dead-letters"], { code: key }),
          count,
          text: countText(count),
          note: "",
        }))}
      />
    </Section>
  );
}

function FailedJobs() {
  const poll = usePoll<{ jobs: readonly JobSnapshot[] }>(
    pathWith("operators/jobs", { status: "failed", limit: 5, errors: 0 }),
  );
  return (
    <Section title="Latest failed jobs" href={hrefOf(["jobs"], { status: "failed" })}>
      <Loaded poll={poll}>
        {({ jobs }) => (
          <ul class="shares">
            {jobs.length === 0 && <li class="faint">No job has failed.</li>}
            {jobs.map(({ job_id, job_type, resource_failed, completed_at }) => (
              <li key={job_id}>
                <a href={hrefOf(["jobs", job_id])}>{job_id.slice(0, 13)}…</a>
                <span class="faint">
                  <Foreign text={job_type} /> · {countText(resource_failed)} ✗ · <Time at={completed_at} />
                </span>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Section>
  );
}

interface Share {
  readonly key: string;
  readonly href: string;
  /** The length of the bar. */
  readonly count: number;
  /** The numbers in words. */
  readonly text: string;
  readonly note: string;
}

/** Counts with bars that compare them. */
function Shares({ rows, empty }: { readonly rows: readonly Share[]; readonly empty: string }) {
  const largest = Math.max(...rows.map(({ count }) => count), 1);
  return (
    <ul class="shares">
      {rows.length === 0 && <li class="faint">{empty}</li>}
      {rows.map(({ key, href, count, text, note }) => (
        <li key={key}>
          <a href={href}>
            <Foreign text={key} />
          </a>
          <span>
            {note !== "" && <Status name={note} />} {text}
          </span>
          <span class="bar-of" style={{ width: `${(100 * count) / largest}%` }} />
        </li>
      ))}
    </ul>
  );
}

interface SectionProps {
  readonly title: string;
  readonly href?: string;
  /** True: it is as wide as the page. */
  readonly isWhole?: boolean;
  readonly children: ComponentChildren;
}

function Section({ title, href, isWhole = false, children }: SectionProps) {
  return (
    <section class={isWhole ? "whole" : ""}>
      <h2>{href === undefined ? title : <a href={href}>{title}</a>}</h2>
      {children}
    </section>
  );
}
