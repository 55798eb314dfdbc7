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

/** Prints the resources of a job and their objects, page by page, all or `--limit` of them. As JSON one per line. */
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
  if (cursor !== undefined && flags.json !== true) remote.out("more resources follow: set a higher --limit\n");
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new UsageError("--limit must be a whole number of at least 1");
  return Number(text);
}

/** Prints a page, and before it the common folder of its objects unless it is `before`. Returns that folder. */
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
  const problem = error === null ? "" : `– ${error.code}`;
  const object = key === null ? problem : key.slice(folder.length);
  return [resource_id, state, bytes === null ? "" : bytesText(bytes), object];
}

/** The longest common beginning of the URLs that ends in a slash. */
function commonFolder(urls: readonly string[]): string {
  let [folder = ""] = urls;
  for (const url of ["", ...urls].slice(1)) {
    while (folder !== "" && !url.startsWith(folder)) folder = folder.slice(0, -1);
  }
  return folder.slice(0, folder.lastIndexOf("/") + 1);
}
