import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { isSystemDark, isUtc, theme } from "../frame/preferences.ts";
import { timeText } from "./format.ts";
import { type Series, timeRange } from "./series.ts";

const HEIGHT = 150;
const ROWS_OF_TABLE = 12;

export interface Line {
  /** A series of the chart. */
  readonly name: string;
  readonly label: string;
  /** A custom property with its colour. */
  readonly color: string;
}

interface ChartProps {
  readonly title: string;
  readonly series: Series;
  readonly lines: readonly Line[];
  /** Divides all values: sums over that many seconds become rates. */
  readonly divisor?: number;
  readonly format: (value: number) => string;
  /** A shorter format for the axis. */
  readonly axisFormat?: (value: number) => string;
}

/** A chart over time. A table below it has the same data. */
export function Chart(props: ChartProps) {
  const { title, series, lines, format } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const columns = columnsOf(props);
  useEffect(() => {
    const made = box.current === null ? undefined : draw(box.current, props, columns);
    plot.current = made;
    const watch = new ResizeObserver(() => made?.setSize({ width: box.current?.clientWidth ?? 0, height: HEIGHT }));
    if (box.current !== null) watch.observe(box.current);
    return () => {
      watch.disconnect();
      made?.destroy();
    };
  }, [isUtc.value, theme.value, isSystemDark.value, lines]);
  useEffect(() => plot.current?.setData(columns as uPlot.AlignedData), [series]);
  return (
    <figure>
      <figcaption>
        {title}
        {lines.map(({ label, color, name }, at) => (
          <span key={name} class="legend">
            <i style={{ background: `var(${color})` }} data-dash={at} />
            {label} {lastValue(columns[at + 1], format)}
          </span>
        ))}
      </figcaption>
      <div ref={box} aria-hidden="true" class="plot" />
      <DataTable columns={columns} {...props} />
    </figure>
  );
}

type Values = readonly (number | null)[];

function columnsOf({ series: { times, values }, lines, divisor = 1 }: ChartProps): Values[] {
  const columns = lines.map(({ name }) => values[name] ?? []);
  return [times, ...columns.map((column) => column.map((value) => (value === null ? null : value / divisor)))];
}

function lastValue(values: Values | undefined, format: (value: number) => string): string {
  const last = values?.findLast((value) => value !== null);
  return last === undefined || last === null ? "–" : format(last);
}

function draw(box: HTMLElement, { lines, format, axisFormat }: ChartProps, columns: Values[]): uPlot {
  const style = getComputedStyle(box);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = { stroke: color("--faint"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
  return new uPlot(
    {
      width: box.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      tzDate: (at) => (isUtc.value ? uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000)),
      axes: [
        {
          ...axis,
          size: 26,
          space: 70,
          values: (_, splits) => axisTimes(splits),
        },
        { ...axis, size: 64, values: (_, splits) => splits.map(axisFormat ?? format) },
      ],
      scales: {
        x: { range: ({ data: [times] }) => timeRange(times) },
        y: { range: (_, __, max) => [0, Math.max(max * 1.05, 1)] },
      },
      series: [
        {},
        // Lines differ in their dashes, too: never by colour alone.
        ...lines.map(({ label, color: name }, at) => ({
          label,
          stroke: color(name),
          width: 1.5,
          dash: [[], [6, 3], [2, 3]][at] ?? [],
          points: {
            show: false,
            size: 4,
            fill: color(name),
            filter: (plot: uPlot, line: number) => lonePoints(plot.data[line] ?? []),
          },
        })),
      ],
    },
    columns as uPlot.AlignedData,
    box,
  );
}

/** Times as `12:05`, or as `12:05:30` where a minute has several. */
function axisTimes(times: readonly number[]): string[] {
  const hasSeconds = times.some((at) => at % 60 !== 0);
  return times.map((at) => {
    const text = timeText(new Date(at * 1000).toISOString(), isUtc.value).slice(-8);
    return hasSeconds ? text : text.slice(0, -3);
  });
}

/** The values without a neighbour: no line leads to them, so a dot shows them. */
function lonePoints(values: ArrayLike<number | null | undefined>): number[] {
  const isThere = (at: number) => (values[at] ?? null) !== null;
  return Array.from(values, (_, at) => at).filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
}

function DataTable({ title, lines, format, columns }: ChartProps & { readonly columns: readonly Values[] }) {
  const [times = [], ...values] = columns;
  const first = Math.max(times.length - ROWS_OF_TABLE, 0);
  return (
    <details>
      <summary>
        Data<span class="hidden"> of {title}</span>
      </summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {lines.map(({ name, label }) => (
              <th key={name} scope="col" class="number">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {times.slice(first).map((time, at) => (
            <tr key={time}>
              <td data-title="Time">{timeText(new Date((time ?? 0) * 1000).toISOString(), isUtc.value)}</td>
              {values.map((column, line) => (
                <td key={lines[line]?.name} class="number" data-title={lines[line]?.label}>
                  {lastValue([column[first + at] ?? null], format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
