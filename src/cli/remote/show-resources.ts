import type { ResourceRow } from "../../api/openapi/schemas.ts";
import { UsageError } from "../exit-code.ts";
import { table } from "../terminal/table.ts";
import { jsonLine, printable } from "../terminal/terminal-text.ts";
import { bytesText } from "../terminal/units.ts";
import type { Remote, RemoteFlags } from "./remote-context.ts";

export interface ResourcesFlags extends RemoteFlags {
  readonly state?: string;
  readonly limit?: string;
}

interface ResourceList {
  readonly resources: readonly ResourceRow[];
  readonly next_cursor: string | null;
}

const PAGE = 1000;

const COLUMNS = [
  { title: "RESOURCE", isElastic: true, expendable: 1 },
  { title: "STATE" },
  { title: "BYTES", isNumber: true },
  { title: "OBJECT", isElastic: true },
] as const;

/** Where the files of a job are: page by page, all of them unless `--limit` says how many. As JSON one a line. */
export async function showResources(jobId: string, flags: ResourcesFlags, remote: Remote): Promise<void> {
  const path = `/operators/jobs/${encodeURIComponent(jobId)}/resources`;
  let left = limitOf(flags.limit);
  let cursor: string | undefined;
  let folder = "";
  do {
    const query = { state: flags.state, limit: Math.min(PAGE, left), cursor };
    const list = await remote.client.get<ResourceList>(path, query);
    if (flags.json === true) for (const row of list.resources) remote.out(jsonLine(row));
    else folder = writePage(list.resources, folder, remote);
    left -= list.resources.length;
    cursor = list.next_cursor ?? undefined;
  } while (cursor !== undefined && left > 0);
  if (cursor !== undefined && flags.json !== true) remote.out("there are more: --limit says how many\n");
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new UsageError("--limit must be a whole number from 1 on");
  return Number(text);
}

/** Writes a page, under the folder that its objects share where that is another one, and returns that. */
function writePage(rows: readonly ResourceRow[], before: string, { out, width }: Remote): string {
  if (rows.length === 0) {
    if (before === "") out("no resources\n");
    return before;
  }
  const folder = commonFolder(rows.flatMap(({ storage_key: key }) => key ?? []));
  if (folder !== "" && folder !== before) out(`objects are in ${printable(folder)}\n`);
  out(
    table(
      COLUMNS,
      rows.map((row) => cellsOf(row, folder)),
      width,
    ),
  );
  return folder;
}

function cellsOf({ resource_id, state, bytes, storage_key: key, error }: ResourceRow, folder: string): string[] {
  const object = key === null ? (error === null ? "" : `– ${error.code}`) : key.slice(folder.length);
  return [resource_id, state, bytes === null ? "" : bytesText(bytes), object];
}

/** The longest beginning up to a slash that all URLs have in common. */
function commonFolder(urls: readonly string[]): string {
  let [folder = ""] = urls;
  for (const url of ["", ...urls].slice(1)) {
    while (folder !== "" && !url.startsWith(folder)) folder = folder.slice(0, -1);
  }
  return folder.slice(0, folder.lastIndexOf("/") + 1);
}
