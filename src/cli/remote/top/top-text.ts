import type { QueueReport } from "../../../api/openapi/service-schemas.ts";
import type { DownloadList, DownloadRow, HostList, HostRow } from "../../../api/openapi/traffic-schemas.ts";
import { clockText } from "../../terminal/moments.ts";
import { table } from "../../terminal/table.ts";
import { clipEnd, printable } from "../../terminal/terminal-text.ts";
import { bytesText, counted, countText, durationText } from "../../terminal/units.ts";
import { stateText, summaryLines } from "../show-queue.ts";

/** What the service answered at one moment. */
export interface Snapshot {
  readonly queue: QueueReport;
  readonly downloads: DownloadList;
  readonly hosts: HostList;
  /** Milliseconds since the epoch, by the clock of this machine. */
  readonly at: number;
}

interface Screen {
  /** The columns; `undefined` for no limit. */
  readonly width: number | undefined;
  /** The rows; `undefined` for no limit. */
  readonly rows?: number;
  /** The reason why the snapshot is not of now. */
  readonly problem?: string | undefined;
  readonly keys?: string;
}

const HOST_COLUMNS = [
  { title: "HOST", isElastic: true },
  { title: "WAITING", isNumber: true },
  { title: "RUNNING", isNumber: true },
  { title: "LIMIT", isNumber: true, expendable: 2 },
  { title: "STATE", isText: true, isElastic: true },
  { title: "DONE 5m", isNumber: true, expendable: 3 },
  { title: "FAILED 5m", isNumber: true, expendable: 1 },
  { title: "DEAD", isNumber: true, expendable: 4 },
] as const;

const DOWNLOAD_COLUMNS = [
  { title: "RESOURCE", isElastic: true },
  { title: "HOST", isElastic: true, expendable: 3 },
  { title: "STAGE", expendable: 1 },
  { title: "BYTES", isNumber: true, expendable: 2 },
  { title: "SPEED", isNumber: true },
  { title: "FOR", isNumber: true },
  { title: "TRY", isNumber: true, expendable: 4 },
] as const;

/** A narrower terminal has better use for the room: names of resources stay readable. */
const WIDTH_WITH_VIA = 110;
/** The address or the proxy of a download. */
const VIA_COLUMN = { title: "VIA", isElastic: true, expendable: 5 } as const;

/** Lines of a table beside its rows: an empty line before it, and the titles. */
const TABLE_LINES = 2;

/** The lines of a snapshot. They fit on the screen, also on a narrow one. */
export function topLines(snapshot: Snapshot, server: string, screen: Screen): string[] {
  const { queue, downloads, hosts, at } = snapshot;
  const { width, rows = Number.POSITIVE_INFINITY, problem, keys } = screen;
  const title = [`FetchBox at ${server}`, clockText(at), ...(keys === undefined ? [] : [keys])].join(" · ");
  const head = [title, ...summaryLines(queue, width), speedText(downloads)];
  if (problem !== undefined) head.push(`no answer since ${clockText(at)}: ${printable(problem)}`);
  // The cursor stands on the line below the last one.
  const room = Math.max(2, rows - head.length - 2 * TABLE_LINES - 1);
  const hostRows = hosts.hosts.slice(0, Math.max(Math.floor(room / 2), room - downloads.downloads.length));
  const downloadRows = downloads.downloads.slice(0, Math.max(1, room - hostRows.length));
  const lines = [
    ...head,
    ...tableLines(HOST_COLUMNS, hostRows.map(hostCells), width),
    ...tableLines(
      downloadColumns(width),
      downloadRows.map((row) => downloadCells(row, at)),
      width,
    ),
  ];
  return lines.slice(0, rows - 1).map((line) => (width === undefined ? line : clipEnd(line, width)));
}

function downloadColumns(width = Number.POSITIVE_INFINITY) {
  return width < WIDTH_WITH_VIA ? DOWNLOAD_COLUMNS : [...DOWNLOAD_COLUMNS, VIA_COLUMN];
}

function tableLines(
  columns: Parameters<typeof table>[0],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): string[] {
  return rows.length === 0 ? [] : ["", ...table(columns, rows, width).trimEnd().split("\n")];
}

function speedText({ total, downloads }: DownloadList): string {
  if (total === 0) return "no download runs";
  const bytes = downloads.reduce((sum, { bytes_per_second: speed }) => sum + speed, 0);
  const atLeast = total > downloads.length ? "at least " : "";
  return `${counted(total, "download")}, the slowest first · ${atLeast}${bytesText(bytes)}/s`;
}

function hostCells(row: HostRow): string[] {
  const state = { ...row, max_concurrency: row.configured_limit, code: null, slowed_ms_ago: null };
  return [
    row.host,
    countText(row.waiting),
    countText(row.running),
    countText(row.limit),
    stateText(state),
    countText(row.completed_5m),
    countText(row.failed_5m),
    countText(row.dead_letters),
  ];
}

function downloadCells(row: DownloadRow, at: number): string[] {
  const total = row.bytes_total === null ? "" : ` of ${bytesText(row.bytes_total)}`;
  return [
    row.resource_id,
    row.host,
    row.stage,
    `${bytesText(row.bytes)}${total}`,
    `${bytesText(row.bytes_per_second)}/s`,
    durationText((at - Date.parse(row.started_at)) / 1000),
    String(row.attempt),
    row.proxy ?? row.address,
  ];
}
